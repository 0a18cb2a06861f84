"""ONNX files whose weights lie in files of their own: taken in if they lie beside it, refused if they point away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exporting import Net, card, write_onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from segcli.catalog import load_catalog
from segcli.cli.apart import TASKS
from segcli.engine.model import load_model
from segcli.errors import ModelError
from segcli.model_folder import load_model_folder, load_weights, save_model_folder

SIZES = ["n", 1, "r", "c"]


def wrap(file: Path, folder: Path) -> Path:
    TASKS["wrap"](file=str(file), card=str(card(file.parent)), output=str(folder), only=None)
    return folder


def write_apart(folder: Path) -> Path:
    """``net.onnx`` and its weights in ``net.data``."""
    return write_onnx(folder / "net.onnx", SIZES, save_as_external_data=True, location="net.data", size_threshold=0)


def point_to(file: Path, **entries: str) -> None:
    """Let the weights lie elsewhere."""
    model = onnx.load(file, load_external_data=False)
    (weight,) = model.graph.initializer
    del weight.external_data[:]
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    file.write_bytes(model.SerializeToString())


def test_weights_beside_the_file_travel_inside_the_model_folder(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "apart").mkdir()
    expected = load_model(
        str(wrap(write_onnx(tmp_path / "whole" / "net.onnx", SIZES), tmp_path / "a")), load_catalog()
    ).network
    folder = wrap(write_apart(tmp_path / "apart"), tmp_path / "b")
    shutil.rmtree(tmp_path / "apart")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(load_model(str(folder), load_catalog()).network(x), expected(x))
    assert load_model_folder(folder).card.plugin_options["bytes"] > 72  # the convolution's weights are among them


def test_the_default_of_torch_is_taken(tmp_path: Path) -> None:
    network, x = Net().eval(), torch.randn(1, 1, 16, 16)
    torch.onnx.export(network, (x,), tmp_path / "net.onnx", dynamo=True, verbose=False, external_data=True)
    assert (tmp_path / "net.onnx.data").is_file()
    loaded = load_model(str(wrap(tmp_path / "net.onnx", tmp_path / "model")), load_catalog())
    with torch.inference_mode():
        assert torch.allclose(loaded.network(x), network(x), atol=1e-5)


def link(folder: Path) -> None:
    (folder / "net.data").rename(folder.parent / "elsewhere")
    (folder / "net.data").symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "net.data").unlink()
    os.mkfifo(folder / "net.data")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: point_to(folder / "net.onnx", location="/etc/passwd"), "outside its folder"),
        (lambda folder: point_to(folder / "net.onnx", location="../net.data"), "outside its folder"),
        (lambda folder: point_to(folder / "net.onnx", location="sub/net.data"), "outside its folder"),
        (lambda folder: point_to(folder / "net.onnx", location=".."), "outside its folder"),
        (lambda folder: point_to(folder / "net.onnx", length="72"), "outside its folder"),
        (lambda folder: point_to(folder / "net.onnx", location="net.data", length="999"), "more of 'net.data'"),
        (lambda folder: point_to(folder / "net.onnx", location="net.data", offset="-4"), "more of 'net.data'"),
        (lambda folder: point_to(folder / "net.onnx", location="net.data", offset="x"), "no number"),
        (lambda folder: (folder / "net.data").unlink(), "No such file"),
        (link, "a link is not followed"),
        (pipe, "a pipe"),
    ],
)
def test_weights_that_point_away_are_refused(spoil: Callable[[Path], object], word: str, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    file = write_apart(folder)
    spoil(folder)
    with pytest.raises(ModelError, match=word):
        wrap(file, tmp_path / "model")


def in_a_branch(weight: TensorProto) -> onnx.GraphProto:
    """A graph that holds the tensor where few look: in a constant of a branch of an If."""
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    run = helper.make_node("Conv", ["x", "w"], ["logits"], pads=[1] * 4)
    branch = helper.make_graph([constant, run], "branch", [], [output])
    true = numpy_helper.from_array(np.array(True), "true")
    choose = helper.make_node("If", ["true"], ["logits"], then_branch=branch, else_branch=branch)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, SIZES)
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2, "r", "c"])
    return helper.make_graph([choose], "net", [given], [result], [true])


@pytest.mark.parametrize("hidden", [False, True])
def test_a_model_folder_made_by_hand_opens_nothing_outside(hidden: bool, tmp_path: Path) -> None:
    """Its hash is right, and its ONNX file points to a file of the machine: refused before onnxruntime sees it."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(72))
    model = onnx.load(write_onnx(tmp_path / "net.onnx", SIZES))
    wrap(tmp_path / "net.onnx", tmp_path / "model")
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=str(secret))
    if hidden:
        graph = in_a_branch(weight)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    found = load_model_folder(tmp_path / "model")
    options = {**found.card.plugin_options, "bytes": len(data)}
    altered = type(found.card)(**{**found.card.__dict__, "plugin_options": options})
    state = {**load_weights(found), "program": torch.frombuffer(bytearray(data), dtype=torch.uint8)}
    save_model_folder(tmp_path / "model", altered, state)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(tmp_path / "in" / "a.png")
    words = ["predict", "in", "-m", "./model", "-o", "out", "--device", "cpu", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "segcli", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 2 and "outside the file" in done.stderr, done.stderr


def test_onnxruntime_tells_nobody_which_models_are_run(tmp_path: Path) -> None:
    """Since 1.29 it keeps a database there of what it tells its maker about the models that are run."""
    wrap(write_onnx(tmp_path / "net.onnx", SIZES), tmp_path / "model")
    (tmp_path / "home").mkdir()
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    program = """
import sys, torch
from segcli.catalog import load_catalog
from segcli.engine.model import load_model
load_model(sys.argv[1], load_catalog({"onnx"})).network(torch.zeros(1, 1, 16, 16))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "model")]
    subprocess.run(command, env={**environment, "HOME": str(tmp_path / "home")}, check=True, timeout=100)
    assert [path for path in (tmp_path / "home").rglob("*") if "Microsoft" in str(path)] == []
