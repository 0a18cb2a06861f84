"""Which numbers the network is shown: numpy says what the card's words mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from predicting import Predict, png

from segcli.contract import Intensity

VOLUME = np.random.default_rng(3).integers(-900, 1200, (9, 8, 4)).astype(np.int16)  # i j k
VOLUME += (300 * np.arange(4)).astype(np.int16)  # each slice with statistics of its own


def per_slice(values: NDArray[Any], what: Any) -> Any:
    return np.stack([what(values[..., k]) for k in range(values.shape[2])], axis=-1)


def zscore(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / values.std())


def between_percentiles(values: NDArray[Any]) -> NDArray[np.float64]:
    low, high = np.percentile(values, (10, 90))
    return np.clip((values - low) / (high - low), 0, 1)


SHOWN = {
    "none": (Intensity("none"), lambda v: v * 1.0),
    "zscore": (Intensity("zscore"), zscore),
    "zscore, slice": (Intensity("zscore", scope="slice"), lambda v: per_slice(v, zscore)),
    "zscore, given": (Intensity("zscore", mean=120.0, std=350.0), lambda v: (v - 120.0) / 350),
    "window": (Intensity("window", low=-400.0, high=1100.0), lambda v: np.clip((v + 400.0) / 1500, 0, 1)),
    "window, slice": (
        Intensity("window", scope="slice", low=100.0, high=700.0),
        lambda v: np.clip((v - 100.0) / 600, 0, 1),
    ),
    "percentile": (Intensity("percentile", low=10.0, high=90.0), between_percentiles),
    "percentile, slice": (
        Intensity("percentile", scope="slice", low=10.0, high=90.0),
        lambda v: per_slice(v, between_percentiles),
    ),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_intensities_are_shown_as_the_card_says(kind: str, predict: Predict, tmp_path: Path) -> None:
    intensity, shown = SHOWN[kind]
    values = shown(VOLUME)
    levels = [float(np.quantile(values, q)) + 1e-4 for q in (0.2, 0.5, 0.75)]
    if kind.startswith(("window", "percentile")):
        levels[2] = 0.9999  # what is beyond the window is 1, never more
    expected = (values[..., np.newaxis] > levels).sum(axis=-1)
    assert set(np.unique(expected)) == {0, 1, 2, 3}
    from probe import label  # noqa: PLC0415 - on the path only now

    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), tmp_path / "in/a.nii")
    for dims in (2, 3) if "slice" in kind else (2,):
        card = {"spatial_dims": 3, "tile": (8,) * 3, "overlap": (2,) * 3, "margin": (0,) * 3} if dims == 3 else {}
        labels = (label(1), label(2), label(3))
        predict(output=f"{dims}", **card, intensity=intensity, labels=labels, plugin_options={"levels": levels})
        assert np.array_equal(np.asarray(nibabel.load(tmp_path / f"{dims}/a.nii").dataobj), expected), dims


def test_channels_in_files_of_their_own_come_in_the_order_of_their_numbers(predict: Predict, tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    first, second = draw.integers(0, 200, (2, 20, 30), dtype=np.uint8)
    second[0, 0] = 255  # statistics are those of the channel
    Image.fromarray(first).save(tmp_path / "in/a_0000.png")
    Image.fromarray(second).save(tmp_path / "in/a_0001.png")
    two: dict[str, Any] = {"channels": ("T1", "FLAIR"), "plugin_options": {"levels": [0.25], "weights": [2, -1]}}
    (name,) = predict(**two, intensity=Intensity("zscore"))
    assert name == "a.png"
    assert np.array_equal(png(tmp_path / "out/a.png"), 2 * zscore(first) - zscore(second) > 0.25)


def test_channels_within_a_file(predict: Predict, tmp_path: Path) -> None:
    rgb = np.random.default_rng(5).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "in/a.png")
    predict(channels=("R", "G", "B"), plugin_options={"levels": [100], "weights": [1, -2, 3]})
    expected = rgb @ np.array([1.0, -2.0, 3.0]) > 100
    assert np.array_equal(png(tmp_path / "out/a.png"), expected)


@pytest.mark.parametrize("channel", ["R", "G", "B", None])
def test_one_channel_of_a_colour_image(channel: str | None, predict: Predict, tmp_path: Path) -> None:
    """The one that was named; else grey by Rec. 601."""
    rgb = np.random.default_rng(6).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "in/a.png")
    predict(*([] if channel is None else ["--channel", channel]), plugin_options={"levels": [100.5]})
    grey = rgb @ np.array([0.299, 0.587, 0.114]) if channel is None else rgb[..., "RGB".index(channel)]
    mask = png(tmp_path / "out/a.png")
    sure = np.abs(grey - 100.5) > 0.5  # grey is rounded
    assert np.array_equal(mask[sure] > 0, (grey > 100.5)[sure]) and sure.mean() > 0.9


@pytest.mark.parametrize("which", [0, 1, 2], ids=["below", "itself", "above"])
def test_neighbours_are_shown_from_the_lowest_to_the_highest(which: int, predict: Predict, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), tmp_path / "in/a.nii")
    weights = [int(which == k) for k in range(3)]
    predict(context_slices=1, plugin_options={"levels": [250], "weights": weights})
    seen = VOLUME[..., np.clip(np.arange(4) + which - 1, 0, 3)]
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "out/a.nii").dataobj), seen > 250)
