import json
import os
import time

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
        ({"schema": 3}, "schema is 3, this segcli reads schemas 1 to 2"),
        ({"schema": True}, "schema"),
        ({"schema": "2"}, "schema"),
        ({"schema": 0}, "schema"),
        ({"scope": {}}, "unknown field 'scope' .cards of schema 2 have it"),
        ({"schema": 2, "scope": {"colour": "red"}}, "unknown field 'colour'"),
        ({"schema": 2, "scope": {"field_of_view_mm": [[1, 2]]}}, "field_of_view_mm must have 2 or 3 ranges"),
        ({"schema": 2, "scope": {"spacing": [[1, 2], [2, 1]]}}, "spacing must hold ranges"),
        ({"schema": 2, "scope": {"spacing": [[0, 1], [1, 1]]}}, "spacing must hold ranges"),
        ({"schema": 2, "scope": {"field_of_view_px": [[1, 2.5], [1, 2]]}}, "must be a whole number"),
        ({"schema": 2, "scope": {"field_of_view_px": [1, 2]}}, "must be a list"),
        ({"schema": 2, "scope": {"body_part": ["head"]}}, "body_part must hold words"),
        ({"schema": 2, "scope": {"planes": ["oblique"]}}, "must be one of axial, coronal, sagittal"),
        ({"context_slices": 10**12}, "context_slices must lie between 0 and 32"),
        ({"context_slices": -1}, "context_slices must lie"),
        ({"tile": [16384, 16384]}, "tile is too large"),
        ({"tile": [65536, 65536]}, "tile is too large"),
        ({"tile": [4096, 4096], "channels": [str(n) for n in range(99)]}, "tile is too large"),
        ({"threshold": 10**400}, "a number of 401 digits"),
        ({"labels": [{"value": 10**400, "name": "x", "color": [0, 0, 0]}]}, "a number of 401 digits"),
        ({"training": {"seed": 10**400}}, "a number of 401 digits"),
        ({"name": "half a pair: \ud800"}, "no Unicode"),
        ({"channels": ["\ud800"]}, "no Unicode"),
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
    with pytest.raises(ModelError, match="objects or lists more than 32 deep"):
        parse_card("[" * 200_000)


@pytest.mark.parametrize("depth", [40, 900])
def test_what_is_nested_in_a_free_field_is_refused_too(folder, depth):
    text = edited(folder, training="HERE").replace('"HERE"', '{"a": ' * depth + "1" + "}" * depth)
    with pytest.raises(ModelError, match="more than 32 deep"):
        parse_card(text)


def test_many_keys_take_no_time(folder):
    text = edited(folder, training={str(number): number for number in range(60_000)})
    begun = time.process_time()
    card = parse_card(text)
    assert time.process_time() - begun < 5  # once: a minute
    assert len(card.training) == 60_000


def test_a_field_that_stands_twice_is_named(folder):
    text = edited(folder).replace('"version"', '"name": "again", "version"', 1)
    with pytest.raises(ModelError, match="the field 'name' stands twice"):
        parse_card(text)


def test_a_card_of_schema_1_is_written_as_it_always_was(folder):
    """Its text is part of the fingerprint of folders of masks that exist."""
    text = (folder / "config.json").read_text()
    assert "scope" not in json.loads(text) and json.loads(text)["schema"] == 1
    assert format_card(parse_card(text)) == text


def test_a_card_with_a_scope_survives_too(folder):
    scope = {"field_of_view_mm": [[40, 58], [31, 40]], "body_part": ["HEAD"], "planes": ["axial"]}
    card = parse_card(edited(folder, schema=2, scope=scope))
    assert card.scope.field_of_view_mm == ((40.0, 58.0), (31.0, 40.0)) and card.scope.spacing is None
    assert parse_card(format_card(card)) == card
    assert json.loads(format_card(card))["scope"] == scope


def test_a_card_that_is_too_large_is_refused(folder):
    (folder / "config.json").write_text(edited(folder, training={"x": "y" * 5_000_000}))
    with pytest.raises(ModelError, match=r"config.json cannot be read .more than 4,194,304 bytes"):
        load_model_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=f"{name} cannot be read .a pipe, not a file"):
        load_model_folder(folder)


@pytest.mark.parametrize(
    "head", [b"", b"\x00" * 9, (2**63).to_bytes(8, "little") + b"{", (500).to_bytes(8, "little") + b"{}"]
)
def test_a_header_longer_than_the_file_is_refused(folder, head):
    (folder / "model.safetensors").write_bytes(head)
    with pytest.raises(ModelError, match=r"not a safetensors file|SHA-256"):
        load_model_folder(folder)


OTHERS = {
    "nnU-Net": ["dataset.json", "plans.json", "fold_0/checkpoint_final.pth"],
    "nnU-Net, one fold": ["fold_all/checkpoint_best.pth"],
    "nnU-Net, all": ["nnUNetTrainer__nnUNetPlans__3d_fullres/plans.json"],
    "MONAI": ["configs/metadata.json", "models/model.pt"],
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_of_another_program_is_recognised_with_what_can_be_done(tmp_path, kind):
    for name in OTHERS[kind]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match=f"it is a model of {kind.split(',')[0]}.*segcli models wrap"):
        load_model_folder(tmp_path)


def test_a_model_of_smp_has_files_of_the_same_names(tmp_path):
    (tmp_path / "config.json").write_text('{"_model_class": "Unet", "encoder_name": "resnet34"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"a model of segmentation_models_pytorch.*segcli models wrap"):
        load_model_folder(tmp_path)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"not a segcli model folder: config.json is missing"):
        load_model_folder(tmp_path)


def test_a_number_beyond_float_is_named(folder):
    text = edited(folder, threshold=12345).replace("12345", "1e999")
    with pytest.raises(ModelError, match="1e999 is larger than any number"):
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
