"""``segcli models show`` and ``list``: what a model is for, before it is used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segcli.card_json import parse_card
from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.contract import Label, Scope
from segcli.model_folder import load_model_folder, load_weights, save_model_folder


def shown(capsys: pytest.CaptureFixture[str], model: str) -> str:
    assert run(["models", "show", model]) == 0
    return capsys.readouterr().out


def test_what_a_user_asks_of_a_shipped_model_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "unet3p")
    for words in (
        "hippocampus-t1 1.1.0",
        "cropped around it",
        "1  anterior hippocampus  #ffaa00  Anatomical Structure (SCT 91723000), Hippocampus (SCT 5366008)",
        "modality MR; channels T1; 2-D; 1 neighbouring slice(s)",
        "field of view 26-46 × 40-58 × 31-40 mm",
        "body part BRAIN, HEAD",
        "spacing 1 × 1 × 1 mm, orientation LPS, tile 64 × 64, overlap 16 × 16",
        "207 labelled crops of 137 patients",
        "dice_anterior: 0.897",
        "posterior hippocampus: below 0.015; kept 100.00% of 754 with the label, of 27 patients",
        "CC-BY-SA-4.0",
        "SHA-256 fc8d9429b961",
    ):
        assert words in text


def test_as_json_it_is_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "show", "unet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = load_catalog().find("unet").default
    assert folder is not None and told["folder"] == str(folder)
    assert parse_card(json.dumps(told["card"])) == load_model_folder(folder).card


def test_a_card_without_scope_is_said_to_refuse_nothing(
    threshold_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, f"{threshold_model}/")
    assert "scope         not stated: no image is refused" in text
    assert "gate          none" in text


def test_the_words_of_a_stranger_cannot_move_the_cursor(
    threshold_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load_model_folder(threshold_model)
    hostile = "\x1b[2J[/foo]\nscope  all heads\u202e"
    card = replace(
        plain.card, description=hostile, labels=(Label(1, hostile, (1, 2, 3)),), training={hostile: hostile},
        name=hostile, schema=2, scope=Scope(field_of_view_mm=((1, 2), (1, 2))),
    )  # fmt: skip
    save_model_folder(tmp_path / "m", card, load_weights(plain))
    text = shown(capsys, f"{tmp_path}/m/")
    assert text.replace("\n", "").isprintable()
    assert not any(line.startswith("scope  all heads") for line in text.splitlines())


def test_a_model_that_is_damaged_or_unknown_is_one_line_and_2(
    threshold_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "show", "nobody"]) == 2
    assert run(["models", "show", "onnx"]) == 2
    assert run(["models", "show", f"{tmp_path}/"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 3 and "not a segcli model folder: config.json is missing" in error[-1]


def test_the_list_says_what_each_model_segments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = "model: hippocampus-t1 1.1.0 (MR T1, 26-46 × 40-58 × 31-40 mm): anterior hippocampus, posterior hippocampus"
    assert sum(told in line for line in lines) == 3
    assert sum("model: none of its own: give a model folder" in line for line in lines) >= 2


def test_the_list_as_json_has_labels_and_modality(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    models = {entry["name"]: entry["model"] for entry in json.loads(capsys.readouterr().out)["models"]}
    assert models["unet"]["labels"] == {"1": "anterior hippocampus", "2": "posterior hippocampus"}
    assert (models["unet"]["modality"], models["onnx"]) == ("MR", None)
