"""The second run: what it redoes, what it keeps, and when it refuses and says why."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import picture

from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.engine import model as model_module
from segcli.engine.model import LoadedModel
from segcli.model_folder import save_model_folder

Predict = Callable[..., int]
pytestmark = pytest.mark.usefixtures("one_reader")


def report_of(output: Path) -> Any:
    return json.loads((output / "report.json").read_text())


def statuses(output: Path) -> dict[str, str]:
    return {case["name"]: case["status"] for case in report_of(output)["cases"]}


def masks(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*.png"))}


def edited(model: Path, folder: Path, **card: Any) -> Path:
    """A copy of a model folder whose card says something else."""
    shutil.copytree(model, folder)
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **card}))
    return folder


def test_an_input_that_changed_gets_a_new_mask(predict: Predict, pictures: Path, tmp_path: Path) -> None:
    """Its size and time tell, without --verify; the others are left alone."""
    predict()
    old = masks(tmp_path / "out")
    picture(pictures / "a.png", 99)
    assert predict() == 0
    assert statuses(tmp_path / "out") == {"a.png": "done", "b.png": "unchanged", "sub/c.png": "unchanged"}
    predict(output=tmp_path / "fresh")
    assert masks(tmp_path / "out") == masks(tmp_path / "fresh") != old


MASK_OPTIONS = {
    "--overlap": ("0.5", "--overlap not given → 0.5"),
    "--gate": ("off", "--gate auto → off"),
    "--gaps": ("error", "--gaps warn → error"),
    "--strict": (None, "--strict not given → given"),
    "--spacing": ("2,0.5", "--spacing not given → 2.0,0.5"),
    "--channel": ("0", "--channel not given → 0"),
    "--dicom-seg": ("labelmap", "--dicom-seg binary → labelmap"),
    "--dicom-deflate": (None, "--dicom-deflate not given → given"),
    "--png-mask": ("grey", "--png-mask palette → grey"),
    "--precision": ("bfloat16", "--precision float32 → bfloat16"),
    "--any-scope": (None, "--any-scope not given → given"),
    "--any-modality": (None, "--any-modality not given → given"),
}
OTHER_OPTIONS: tuple[tuple[str, ...], ...] = (
    ("--batch", "2"), ("--memory", "1M"), ("--max-pixels", "5000"), ("--follow-links",),
    ("--settle", "0"), ("--private",), ("--verify",), ("--case-timeout", "600"),
)  # fmt: skip


def test_what_changes_a_mask_wants_another_folder_and_is_named(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict("--precision", "float32")
    first = masks(tmp_path / "out")
    for option, (value, told) in MASK_OPTIONS.items():
        capsys.readouterr()
        assert predict(option, *([] if value is None else [value])) == 2, option
        line = capsys.readouterr().err
        assert f"was made otherwise ({told}): choose another -o, or --overwrite" in line
    for options in OTHER_OPTIONS:
        assert predict(*options) == 0, options
        assert set(statuses(tmp_path / "out").values()) == {"unchanged"}, options
    assert masks(tmp_path / "out") == first


def test_another_model_wants_another_folder_and_is_named(
    predict: Predict, model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict()
    first = masks(tmp_path / "out")
    plugin = load_catalog().find("unet").plugin
    other = tmp_path / "weights"
    save_model_folder(other, plugin.example(), plugin.build(plugin.example()).state_dict())
    changed = {
        "weights": (other, "weights "),
        "version": (edited(model, tmp_path / "version", version="7"), "model unet-example 0 → unet-example 7"),
        "card": (edited(model, tmp_path / "card", threshold=0.75), "the model's card"),
    }
    for name, (folder, told) in changed.items():
        capsys.readouterr()
        command = ["predict", str(pictures), "-m", str(folder), "-o", str(tmp_path / "out"), "--device", "cpu"]
        assert run(command) == 2, name
        assert told in capsys.readouterr().err, name
    assert masks(tmp_path / "out") == first
    assert run([*command, "--overwrite"]) == 0
    assert "unchanged" not in statuses(tmp_path / "out").values()


def test_what_auto_chose_is_kept(predict: Predict, tmp_path: Path) -> None:
    predict("--precision", "bfloat16", "--batch", "3")
    assert predict() == 0
    report = report_of(tmp_path / "out")
    assert (report["machine"]["precision"], report["machine"]["batch"]) == ("bfloat16", 3)
    assert set(statuses(tmp_path / "out").values()) == {"unchanged"}
    assert predict("--overwrite") == 0
    assert report_of(tmp_path / "out")["machine"]["batch"] != 3


def test_a_new_version_of_the_plugin_makes_all_masks_anew(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict()

    def newer(name: str, catalog: Any) -> LoadedModel:
        found = load(name, catalog)
        return dataclasses.replace(found, plugin=dataclasses.replace(found.plugin, version="99"))

    load = model_module.load_model
    monkeypatch.setattr(model_module, "load_model", newer)
    assert predict() == 0
    assert set(statuses(tmp_path / "out").values()) == {"done"}
    assert predict() == 0
    assert set(statuses(tmp_path / "out").values()) == {"unchanged"}
