"""The Python way in, with a model whose mask can be written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segcli
from segcli.errors import UnsupportedError, UsageError
from segcli.settings import PredictSettings

EXACT = PredictSettings(precision="float32")  # bfloat16, where the hardware has it, rounds near the threshold
RANDOM = np.random.default_rng(0).random((20, 30))


def expected(pixels: Any) -> Any:
    """Where the z-score exceeds 0.5."""
    return ((pixels - pixels.mean()) / pixels.std() > 0.5).astype(np.uint8)


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30), (3, 1, 20, 30), (1, 1, 100, 70)])
def test_an_array_comes_back_as_its_label_map(threshold_model: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).random(shape)
    labels = segcli.segment(pixels, threshold_model, settings=EXACT)
    assert labels.pixels.dtype == np.uint8
    assert np.array_equal(labels.pixels, expected(pixels).reshape(-1, *shape[-2:]))


def test_a_path_is_a_folder_even_without_a_separator(threshold_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(threshold_model.parent)
    assert segcli.segment(RANDOM, Path(threshold_model.name)).pixels.any()


def test_what_is_not_finite_is_background_and_said(threshold_model: Path) -> None:
    pixels = RANDOM.copy()
    pixels[0, :3] = np.nan
    rest = np.isfinite(pixels)
    with pytest.warns(UserWarning, match="not finite"):
        labels = segcli.segment(pixels, threshold_model, settings=EXACT).pixels[0]
    assert not labels[~rest].any()
    assert np.array_equal(labels[rest], expected(pixels[rest]))


def test_the_wrong_number_of_channels_says_both_numbers(threshold_model: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"wants 1 channel\(s\), the array has 3"):
        segcli.segment(np.zeros((1, 3, 8, 8)), threshold_model)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (-1.0, 1.0), (1.0, 1.0, 1.0, 1.0), (float("inf"), 1.0)])
def test_a_senseless_spacing_is_refused(threshold_model: Path, spacing: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="positive numbers"):
        segcli.segment(RANDOM, threshold_model, spacing=spacing)


@pytest.mark.parametrize("array", [np.array([["a"]]), np.zeros((4, 4), complex), np.zeros((0, 4))])
def test_what_holds_no_real_numbers_is_refused(threshold_model: Path, array: Any) -> None:
    with pytest.raises(UnsupportedError, match="real numbers"):
        segcli.segment(array, threshold_model)
