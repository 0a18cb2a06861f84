import json

import pytest
import torch

from segcli.card_json import format_card, parse_card
from segcli.catalog import load_catalog
from segcli.engine.model import load_model
from segcli.errors import ModelError
from segcli.model_folder import load_model_folder, save_model_folder

THRESHOLDS = {
    "threshold": [0.1], "positives": [300], "patients": [9], "sensitivity": [1.0], "lower_bound": [0.99], "auroc": [1],
}  # fmt: skip
EMPTY_FILTER = THRESHOLDS | {"top_k": 5, "emptied_empty": 0.5}


@pytest.fixture
def folder(tmp_path):
    plugin = load_catalog().find("unet").plugin
    card = plugin.example()
    save_model_folder(tmp_path / "m", card, plugin.build(card).state_dict())
    return tmp_path / "m"


def edited(folder, **changes):
    card = json.loads((folder / "config.json").read_text())
    return json.dumps({**card, **changes})


def test_a_card_survives_writing_and_reading(folder):
    card = load_model_folder(folder).card
    assert parse_card(format_card(card)) == card


def test_a_card_with_an_empty_filter_survives_too(folder):
    card = parse_card(edited(folder, empty_filter=EMPTY_FILTER))
    assert card.empty_filter is not None and card.empty_filter.threshold == (0.1,)
    assert parse_card(format_card(card)) == card


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"tile": [8]}, "tile"),
        ({"tile": "big"}, "tile"),
        ({"threshold": 1.5}, "threshold"),
        ({"activation": "relu"}, "activation"),
        ({"orientation": "LLS"}, "orientation"),
        ({"schema": 2}, "schema"),
        ({"labels": []}, "labels"),
        ({"overlap": [32, 32]}, "overlap"),
        ({"spacing": [0, 1]}, "spacing"),
        ({"spacing": [float("inf"), 1]}, "Infinity"),
        ({"modality": "mr"}, "modality"),
        ({"modality": ""}, "modality"),
        ({"spacing": [3, 1, 1]}, "spacing must be 2 positive"),
        ({"context_slices": 1, "spacing": [3, 1, 1, 1]}, "spacing must be 2 or 3 positive"),
        ({"intensity": {"kind": "window"}}, "intensity"),
        ({"intensity": {"kind": "window", "lo": 1}}, "lo"),
        ({"gate": THRESHOLDS | {"gated_empty": 1.5}}, "gate.gated_empty must lie"),
        ({"gate": THRESHOLDS | {"gated_empty": 0.5, "threshold": [1.0]}}, "gate.threshold must"),
        ({"empty_filter": EMPTY_FILTER | {"top_k": 0}}, "empty_filter.top_k must"),
        ({"empty_filter": EMPTY_FILTER | {"top_k": 2.5}}, "empty_filter: top_k must be a whole number"),
        ({"empty_filter": EMPTY_FILTER | {"threshold": [0.1, 0.1]}}, "empty_filter.threshold must have 1 entries"),
        ({"empty_filter": EMPTY_FILTER | {"threshold": [-0.1]}}, "empty_filter.threshold must"),
        ({"empty_filter": EMPTY_FILTER | {"auroc": [1.01]}}, "empty_filter.auroc must"),
        ({"empty_filter": EMPTY_FILTER | {"patients": [-1]}}, "empty_filter.patients must"),
        ({"empty_filter": EMPTY_FILTER | {"emptied_empty": -0.1}}, "empty_filter.emptied_empty must"),
        ({"empty_filter": THRESHOLDS | {"top_k": 5}}, "empty_filter: field 'emptied_empty' is missing"),
        ({"empty_filter": EMPTY_FILTER | {"gated_empty": 0.5}}, "unknown field 'gated_empty'"),
        (
            {"empty_filter": EMPTY_FILTER, "gate": THRESHOLDS | {"gated_empty": 0.5}},
            "empty_filter stands beside a gate",
        ),
    ],
)
def test_the_field_that_is_wrong_is_named(folder, changes, named):
    with pytest.raises(ModelError, match=named):
        parse_card(edited(folder, **changes))


def test_a_text_nested_beyond_reason_is_a_clear_error():
    with pytest.raises(ModelError, match="nested too deeply"):
        parse_card("[" * 200_000)


def test_a_number_beyond_float_is_named(folder):
    text = edited(folder, threshold=12345).replace("12345", "1e999")
    with pytest.raises(ModelError, match="threshold must be a finite number"):
        parse_card(text)


def test_weights_that_are_not_the_cards_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="SHA-256"):
        load_model_folder(folder)


def test_a_pickle_is_recognised_and_refused_with_the_way_out(folder):
    (folder / "model.safetensors").rename(folder / "model.pt")
    with pytest.raises(ModelError, match="convert"):
        load_model_folder(folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_under_the_name_of_safe_weights_is_refused_with_the_way_out(folder, zipped):
    path = folder / "model.safetensors"
    torch.save({"x": torch.zeros(1)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"pickle under another name.*convert"):
        load_model_folder(folder)


def test_a_plugin_without_weights_says_what_to_do():
    with pytest.raises(ModelError, match="ships no weights: give a model folder"):
        load_model("torchscript", load_catalog())


def test_weights_of_another_network_are_refused(folder):
    loaded = load_model_folder(folder)
    save_model_folder(folder, loaded.card, {"x": torch.zeros(1)})
    with pytest.raises(ModelError, match="do not fit"):
        load_model(str(folder), load_catalog())
