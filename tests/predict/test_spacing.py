"""What the network is shown is as large as the file says, or as the user says of a file that says nothing.

The model moves what it sees along the axes of its own grid of 1 mm, so that the distance in the mask tells the spacing.
"""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from predicting import Predict, png

CARD = {"tile": (24, 24), "spacing": (1.0, 1.0), "plugin_options": {"levels": [50], "shift": [6, 2]}}


def block(*shape: int) -> NDArray[np.uint8]:
    """A picture with something bright in the middle, its borders at even places."""
    pixels = np.full(shape, 7, np.uint8)
    pixels[tuple(slice(n // 3 // 2 * 2, n // 2 // 2 * 2) for n in shape)] = 100
    return pixels


def moved(pixels: NDArray[np.uint8], *by: int) -> NDArray[np.bool_]:
    found = np.zeros(pixels.shape, bool)
    ends = zip(by, pixels.shape, strict=True)
    found[tuple(slice(d, None) for d in by)] = pixels[tuple(slice(0, n - d) for d, n in ends)] > 50
    assert found.any()
    return found


def save_nifti(pixels: NDArray[np.uint8], rows: float, columns: float, path: Path) -> None:
    """One slice; nibabel's first axis is our column."""
    nibabel.save(nibabel.Nifti1Image(pixels.T[..., np.newaxis], np.diag([-columns, -rows, 1.0, 1])), path)


def test_rows_and_columns_have_spacings_of_their_own(predict: Predict, tmp_path: Path) -> None:
    """24 mm are 12 rows of 2 mm and 48 columns of 0.5 mm."""
    pixels = block(12, 48)
    save_nifti(pixels, 2, 0.5, tmp_path / "in/a.nii")
    predict(**CARD)
    mask = np.asarray(nibabel.load(tmp_path / "out/a.nii").dataobj)[..., 0].T
    assert np.array_equal(mask, moved(pixels, 3, 4))


def test_the_users_spacing_counts_where_the_file_states_none_and_only_there(predict: Predict, tmp_path: Path) -> None:
    silent, told = block(12, 48), block(48, 12)
    Image.fromarray(silent).save(tmp_path / "in/silent.png")
    save_nifti(told, 0.5, 2, tmp_path / "in/told.nii")
    cases = predict("--spacing", "2,0.5", **CARD)
    assert np.array_equal(png(tmp_path / "out/silent.png"), moved(silent, 3, 4))
    mask = np.asarray(nibabel.load(tmp_path / "out/told.nii").dataobj)[..., 0].T
    assert np.array_equal(mask, moved(told, 12, 1))
    assert not any("spacing" in warning for case in cases.values() for warning in case["warnings"])
    assert cases["told.nii"]["spacing"] == [0.5, 2]


def test_without_a_spacing_the_models_own_is_taken_and_said(predict: Predict, tmp_path: Path) -> None:
    pixels = block(24, 24)
    Image.fromarray(pixels).save(tmp_path / "in/a.png")
    cases = predict(**CARD)
    assert np.array_equal(png(tmp_path / "out/a.png"), moved(pixels, 6, 2))
    assert "spacing" in cases["a.png"]["warnings"][0]


def test_the_users_third_number_is_the_step_between_slices(predict: Predict, tmp_path: Path) -> None:
    """24 mm are 6 slices of 4 mm, 12 rows of 2 mm, 48 columns of 0.5 mm."""
    pixels = np.full((6, 12, 48), 7, np.uint8)
    pixels[1:3, 2:6, 4:20] = 100
    tifffile.imwrite(tmp_path / "in/a.tif", pixels, photometric="minisblack")
    predict(
        "--spacing", "2,0.5,4", spatial_dims=3, tile=(24, 24, 24), overlap=(0, 0, 0), margin=(0, 0, 0),
        spacing=(1.0, 1.0, 1.0), plugin_options={"levels": [50], "shift": [8, 6, 2]},
    )  # fmt: skip
    mask = tifffile.imread(tmp_path / "out/a.tif")
    assert np.array_equal(mask, moved(pixels, 2, 3, 4))


def test_volumes_are_counted_voxels_times_their_size(predict: Predict, tmp_path: Path) -> None:
    """0.5 × 2 × 3 mm: 3 mm³ a voxel; a file without spacing has pixels and no volume."""
    values = np.zeros((6, 5, 4), np.int16)
    values[0, 0, 0], values[1:3, 0, 0] = 10, 30
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.5, 2, 3, 1])), tmp_path / "in/told.nii")
    Image.fromarray(values[:, :, 0].astype(np.uint8)).save(tmp_path / "in/silent.png")
    from probe import label  # noqa: PLC0415 - on the path only now

    cases = predict(labels=(label(7), label(3)), plugin_options={"levels": [5, 20]})
    told, silent = (cases[name]["volumes"] for name in ("told.nii", "silent.png"))
    assert told == {"label 7": {"pixels": 1, "mm3": 3}, "label 3": {"pixels": 2, "mm3": 6}}
    assert silent == {"label 7": {"pixels": 1, "mm3": None}, "label 3": {"pixels": 2, "mm3": None}}
    table = (tmp_path / "out/volumes.csv").read_text(encoding="utf-8-sig").splitlines()
    columns = [[line.split(",")[i] for i in (0, 4, 5, 6)] for line in table[1:]]
    assert sorted(columns) == [
        ["silent.png", "label 3", "2", ""],
        ["silent.png", "label 7", "1", ""],
        ["told.nii", "label 3", "2", "6"],
        ["told.nii", "label 7", "1", "3"],
    ]


@pytest.mark.parametrize(("share", "rows"), [(None, [0, 1, 8, 9, 16, 17]), ("0.5", [0, 1])])
def test_overlap_hides_what_a_tile_cannot_see(
    share: str | None, rows: list[int], predict: Predict, tmp_path: Path
) -> None:
    """The model cannot fill the first two rows of a tile; where tiles overlap, another has them in its middle."""
    Image.fromarray(np.full((24, 8), 100, np.uint8)).save(tmp_path / "in/a.png")
    options = [] if share is None else ["--overlap", share]
    cases = predict(*options, tile=(8, 8), plugin_options={"levels": [50], "shift": [2, 0]})
    middle = png(tmp_path / "out/a.png")[:, 2:6]  # in the corners of tiles all weights are equal
    assert np.array_equal(middle, np.isin(np.arange(24), rows, invert=True)[:, np.newaxis].repeat(4, axis=1))
    assert cases["a.png"]["tiles"] == (3 if share is None else 5)
