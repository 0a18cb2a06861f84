"""Wherever the axes of a file point, a model finds things where they lie in the patient.

The model moves what it sees 4 mm along its first axis, 6 mm along the second, 2 mm along the last. So the mask must be
the object, moved in the patient: nibabel says where each voxel lies.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from predicting import Predict

ORIENTATIONS = [
    "".join(letters) for pairs in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*pairs)
]
TOWARDS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
"""In nibabel's space, which is the patient's right, anterior, superior."""


def volume(orientation: str, spacing: tuple[float, float, float], extent: int = 24) -> nibabel.Nifti1Image:
    """A cube of ``extent`` mm about the centre of the patient with a bright block in it, ``[i, j, k]``.

    ``orientation``: towards what i, j and k increase; ``spacing``: mm along them.
    """
    directions = np.array([TOWARDS[letter] for letter in orientation], float).T
    steps = directions * spacing
    shape = [round(extent / step) for step in spacing]
    affine = nibabel.affines.from_matvec(steps, -steps @ ((np.array(shape) - 1) / 2))
    places = voxels(shape, affine)
    bright = np.all((places > (-8, -4, -10)) & (places < (2, 8, 0)), axis=-1)
    return nibabel.Nifti1Image(np.where(bright, 100, 7).astype(np.int16), affine)


def voxels(shape: Any, affine: Any) -> NDArray[np.float64]:
    """``[i, j, k, xyz]``, mm towards right, anterior, superior."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.asarray(nibabel.affines.apply_affine(affine, index))


def moved(image: nibabel.Nifti1Image, by: Any) -> NDArray[np.bool_]:
    """Which voxels lie in the bright block after it was moved ``by`` so many mm."""
    places = voxels(image.shape, image.affine) - by
    return np.all((places > (-8, -4, -10)) & (places < (2, 8, 0)), axis=-1)


def towards(card: str, distances: tuple[float, float, float]) -> NDArray[np.float64]:
    """``distances``: mm along the slices, rows, columns of a network whose card states the orientation ``card``."""
    return sum(d * np.array(TOWARDS[letter]) for d, letter in zip(distances, card[::-1], strict=True))


def mask_of(path: Path) -> NDArray[Any]:
    return np.asarray(nibabel.load(path).dataobj)


THREE = {"spatial_dims": 3, "tile": (24, 24, 24), "overlap": (0, 0, 0), "margin": (0, 0, 0), "spacing": (1.0, 1.0, 1.0)}
TWO = {"tile": (24, 24), "spacing": (1.0, 1.0)}
SPACINGS = list(itertools.permutations((0.5, 1.0, 2.0)))


@pytest.mark.parametrize(
    ("card", "wanted", "distances"),
    [
        (THREE, "LPS", (4, 6, 2)),
        (THREE, "RAI", (4, 6, 2)),
        (THREE, "SLA", (4, 6, 2)),
        (TWO, "LPS", (0, 6, 2)),
        (TWO, "AIR", (0, 6, 2)),
    ],
    ids=lambda value: {3: "3-D", 2: "2-D"}[len(value["tile"])] if isinstance(value, dict) else str(value),
)
def test_all_48_orientations_with_three_spacings(
    card: dict[str, Any], wanted: str, distances: tuple[float, float, float], predict: Predict, tmp_path: Path
) -> None:
    for number, name in enumerate(ORIENTATIONS):
        nibabel.save(volume(name, SPACINGS[number % 6]), tmp_path / f"in/{name}.nii")
    shift = distances[3 - len(card["tile"]) :]
    cases = predict(**card, orientation=wanted, plugin_options={"levels": [50], "shift": shift})
    for name in ORIENTATIONS:
        image = nibabel.load(tmp_path / f"in/{name}.nii")
        expected = moved(image, towards(wanted, distances))
        assert np.array_equal(mask_of(tmp_path / f"out/{name}.nii"), expected), name
        found = cases[f"{name}.nii"]["volumes"]["label 1"]
        assert found == {"pixels": expected.sum(), "mm3": pytest.approx(expected.sum() * 1.0)}  # 0.5 × 1 × 2 mm


@pytest.mark.parametrize("card", [THREE, TWO], ids=["3-D", "2-D"])
def test_padding_lies_where_it_lay_however_the_image_is_turned(
    card: dict[str, Any], predict: Predict, tmp_path: Path
) -> None:
    """What is not a number is background, there and nowhere else."""
    padding = np.zeros((24, 24, 24), bool)
    padding[:5, 3:, 2:9] = True
    for name in ORIENTATIONS:
        image = volume(name, (1, 1, 1))
        values = np.where(padding, np.nan, 100).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, image.affine), tmp_path / f"in/{name}.nii")
    predict(**card, orientation="LPS", plugin_options={"levels": [-1]})
    for name in ORIENTATIONS:
        assert np.array_equal(mask_of(tmp_path / f"out/{name}.nii"), ~padding), name


def test_a_card_without_orientation_takes_images_as_stored(predict: Predict, tmp_path: Path) -> None:
    for name in ("LPS", "RAI", "SLA"):
        nibabel.save(volume(name, (1, 1, 1)), tmp_path / f"in/{name}.nii")
    predict(**THREE, plugin_options={"levels": [50], "shift": [4, 6, 2]})
    for name in ("LPS", "RAI", "SLA"):
        image = nibabel.load(tmp_path / f"in/{name}.nii")
        expected = moved(image, towards(name, (4, 6, 2)))
        assert np.array_equal(mask_of(tmp_path / f"out/{name}.nii"), expected), name
