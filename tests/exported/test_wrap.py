"""Exported files become model folders: asked for what they cannot know, measured for the rest, run as they are."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from exporting import CARD, Net, Probabilities, TwoMaps, card, run_script, script, write_onnx
from onnx import TensorProto, helper
from PIL import Image

import segcli_exported
from segcli.catalog import load_catalog
from segcli.cli.apart import TASKS
from segcli.cli.main import run
from segcli.engine.infer import Inference
from segcli.engine.model import load_model
from segcli.errors import SegcliError, UsageError
from segcli.model_folder import load_model_folder
from segcli.testing import check_folder
from segcli.wrap import ASKED


def wrap(file: Path, card_file: Path, folder: Path) -> int:
    """What the command does in a process apart, in this one: quicker. ``test_wrap_command.py`` has the command."""
    try:
        TASKS["wrap"](file=str(file), card=str(card_file), output=str(folder), only=None)
    except SegcliError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def refused(file: Path, card_file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert wrap(file, card_file, file.parent / "refused") == 2
    assert not (file.parent / "refused").exists()
    return capsys.readouterr().err


def test_a_torchscript_file_gives_what_it_gives_alone(tmp_path: Path) -> None:
    file = script(Net().eval(), tmp_path / "net.pt")
    assert wrap(file, card(tmp_path), tmp_path / "model") == 0
    loaded = load_model(str(tmp_path / "model"), load_catalog())
    x = torch.randn(3, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded.network(x), run_script(file, x))
    assert dict(loaded.card.plugin_options) == {"bytes": file.stat().st_size, "multiple": 2, "offset": 0}
    assert load_model_folder(tmp_path / "model").card.labels[0].value == 3


def test_an_onnx_file_gives_what_it_gives_alone(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 1, "r", "c"])
    assert wrap(file, card(tmp_path), tmp_path / "model") == 0
    loaded = load_model(str(tmp_path / "model"), load_catalog())
    x = torch.randn(3, 1, 16, 16)
    alone = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert np.array_equal(loaded.network(x).numpy(), alone.run(None, {"x": x.numpy()})[0])
    assert loaded.card.plugin_options["multiple"] == 1


@pytest.mark.parametrize(
    ("shape", "measured"),
    [
        (["n", 1, 16, 16], {"fixed": True}),
        ([1, 1, "r", "c"], {"single": True, "multiple": 1, "offset": 0}),
        ([1, 1, 16, 16], {"single": True, "fixed": True}),
    ],
)
def test_which_sizes_and_batches_a_file_takes_is_measured(
    shape: list[Any], measured: dict[str, Any], tmp_path: Path
) -> None:
    file = write_onnx(tmp_path / "net.onnx", shape)
    assert wrap(file, card(tmp_path), tmp_path / "model") == 0
    options = dict(load_model_folder(tmp_path / "model").card.plugin_options)
    assert options == {"bytes": file.stat().st_size, **measured}


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_a_wrapped_model_keeps_the_contract_and_predicts(kind: str, tmp_path: Path) -> None:
    if kind == "onnx":
        file = write_onnx(tmp_path / "net.onnx", [1, 1, 16, 16])
    else:
        file = script(Net().eval(), tmp_path / "net.pt")
    assert wrap(file, card(tmp_path), tmp_path / "model") == 0
    verdict = check_folder(tmp_path / "model", load_catalog())
    assert verdict.passed, str(verdict)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30), dtype=np.uint8)).save(tmp_path / "in" / "a.png")
    arguments = ["predict", str(tmp_path / "in"), "-m", str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--device", "cpu", "-q"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["model"]["plugin"] == kind and report["cases"][0]["status"] == "done"
    assert run([*arguments, "--device", "cpu", "--gate", "0.5", "--overwrite"]) == 2  # no presence head


def test_what_the_file_cannot_know_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 1, "r", "c"])
    (tmp_path / "empty.json").write_text("{}")
    assert ", ".join(ASKED) in refused(file, tmp_path / "empty.json", capsys)
    told = refused(file, card(tmp_path, intensity=..., labels=..., activation="sigmoid"), capsys)
    assert "must: labels, threshold, intensity (" in told


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"labels": [*CARD["labels"], {"value": 4, "name": "b", "color": [0, 0, 0]}]}, "check labels"),
        ({"activation": "sigmoid", "threshold": 0.5}, "check labels"),
        ({"margin": [1, 1]}, "margin"),
        ({"channels": ["T1", "T2"]}, "does not run"),
        ({"activation": "none"}, "softmax or sigmoid"),
        ({"spatial_dims": 4}, "spatial_dims"),
        ({"gate": {"threshold": [0.5]}}, "no presence head"),
        ({"colour": 1}, "colour"),
        ({"plugin": "onnx"}, "written for you"),
    ],
)
def test_a_card_that_the_file_contradicts_is_refused(
    changes: dict[str, Any], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 1, "r", "c"])
    assert word in refused(file, card(tmp_path, **changes), capsys)


def test_probabilities_are_not_put_through_a_softmax_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script(Probabilities().eval(), tmp_path / "net.pt")
    assert "must be none" in refused(file, card(tmp_path), capsys)
    assert wrap(file, card(tmp_path, activation="none"), tmp_path / "model") == 0


def test_files_that_are_no_single_program_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stated = card(tmp_path)
    torch.save(Net().state_dict(), tmp_path / "weights.pt")
    assert "pickled weights" in refused(tmp_path / "weights.pt", stated, capsys)
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 1, 16, 16),)), tmp_path / "net.pt2")
    assert "torch.export" in refused(tmp_path / "net.pt2", stated, capsys)
    assert "logits alone" in refused(script(TwoMaps().eval(), tmp_path / "two.pt"), stated, capsys)
    (tmp_path / "text.onnx").write_text("no protobuf")
    assert "no ONNX file" in refused(tmp_path / "text.onnx", stated, capsys)
    (tmp_path / "text.txt").write_text("?")
    assert "neither" in refused(tmp_path / "text.txt", stated, capsys)
    assert "cannot be read" in refused(tmp_path / "absent.onnx", stated, capsys)


def test_a_network_that_draws_random_numbers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["n", 1, "r", "c"]
    noise = helper.make_node("RandomNormalLike", ["x"], ["noise"])
    both = helper.make_node("Concat", ["x", "noise"], ["logits"], axis=1)
    given, returned = (helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in ("x", "logits"))
    returned.type.tensor_type.shape.dim[1].dim_value = 2
    graph = helper.make_graph([noise, both], "net", [given], [returned])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "draw random numbers" in refused(tmp_path / "net.onnx", card(tmp_path), capsys)


class _Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("victim", ["data.pkl", "constants.pkl"])
def test_python_pickles_inside_torchscript_are_never_run(
    victim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = zipfile.ZipFile(io.BytesIO(script(Net().eval(), tmp_path / "net.pt").read_bytes()))
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, pickle.dumps(_Evil(), 2) if name.endswith(f"/{victim}") else source.read(name))
    monkeypatch.chdir(tmp_path)
    assert "cannot be opened" in refused(tmp_path / "evil.pt", card(tmp_path), capsys)
    assert not (tmp_path / "pwned").exists()


def test_a_device_that_onnxruntime_does_not_have_is_a_usage_error(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 1, "r", "c"])
    assert wrap(file, card(tmp_path), tmp_path / "model") == 0
    loaded = load_model(str(tmp_path / "model"), load_catalog())
    with pytest.raises(UsageError, match="onnxruntime here cannot run on meta: use --device cpu"):
        Inference(loaded.network, loaded.card, None).to(torch.device("meta"), "float32")


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segcli_exported, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'segcli\[onnx\]'"):
        segcli_exported.onnx.build(segcli_exported.onnx.example())
