"""The shipped UNet 3+, exported by its owner and wrapped, draws the same masks as the original."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from exporting import card, trace

import segcli
from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.engine.model import LoadedModel, load_model
from segcli.settings import PredictSettings
from segcli.wrap import ASKED

STACK = Path(__file__).parents[2] / "sample_data" / "stack.tif"
OPTIONS = PredictSettings(device="cpu", precision="float32", gate="off")


@pytest.fixture(scope="module")
def original() -> LoadedModel:
    return load_model("unet3p", load_catalog())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def export(kind: str, original: LoadedModel, folder: Path) -> Path:
    x = torch.randn(2, original.card.network_channels, 64, 64)
    if kind == "torchscript":
        return trace(original.network, x, folder / "unet3p.pt")
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            original.network, (x,), folder / "unet3p.onnx", dynamo=True, external_data=False, optimize=False,
            verbose=False, dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    return folder / "unet3p.onnx"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the image states no orientation")
@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_an_export_draws_the_masks_of_the_original(kind: str, original: LoadedModel, tmp_path: Path) -> None:
    file = export(kind, original, tmp_path)
    stated = {name: value for name, value in asdict(original.card).items() if name in ASKED}
    stated["context_slices"] = original.card.context_slices
    stated_file = card(tmp_path, **stated)
    assert run(["models", "wrap", str(file), "--card", str(stated_file), "-o", str(tmp_path / "model")]) == 0
    stack = tifffile.imread(STACK)
    expected = segcli.segment(stack, original, spacing=(1.0, 1.0), settings=OPTIONS).pixels
    drawn = segcli.segment(stack, tmp_path / "model", spacing=(1.0, 1.0), settings=OPTIONS).pixels
    assert set(np.unique(expected)) == {0, 1, 2}
    assert np.array_equal(drawn, expected)
