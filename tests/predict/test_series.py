"""A DICOM series under a model with an orientation and spacings: found where it lies in the patient.

Positions are those of PS3.3 C.7.6.2.1.1, worked out here from the files' own elements.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from predicting import Predict
from pydicom import Dataset, dcmread

THREE = {"spatial_dims": 3, "tile": (24, 24, 24), "overlap": (0, 0, 0), "margin": (0, 0, 0), "spacing": (1.0, 1.0, 1.0)}
PLANES = {
    "axial": ((1, 0, 0, 0, 1, 0), (0, 0, 2)),
    "axial, feet last": ((1, 0, 0, 0, 1, 0), (0, 0, -2)),
    "axial, turned about": ((-1, 0, 0, 0, -1, 0), (0, 0, 2)),
    "coronal": ((1, 0, 0, 0, 0, -1), (0, 2, 0)),
    "sagittal": ((0, 1, 0, 0, 0, -1), (-2, 0, 0)),
}
"""Directions of rows and columns, and the way from one file to the next, mm."""


def places(image: Dataset) -> NDArray[np.float64]:
    """``[row, column, xyz]``: mm towards the patient's left, back and head."""
    row, column = np.meshgrid(np.arange(image.Rows), np.arange(image.Columns), indexing="ij")
    along, down = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, image.PixelSpacing)
    moved = row[..., np.newaxis] * down * between_rows + column[..., np.newaxis] * along * between_columns
    return np.asarray(np.array(image.ImagePositionPatient, float) + moved)


def inside(where: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.all((where > (-8, -4, -10)) & (where < (2, 8, 0)), axis=-1)


def series(plane: str) -> list[Dataset]:
    """24 × 24 × 24 mm about the origin: 12 slices, rows 1 mm, columns 0.5 mm apart, with a bright block."""
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    orientation, step = PLANES[plane]
    along, down = np.array(orientation, float).reshape(2, 3)
    origin = -along * 0.5 * 47 / 2 - down * 23 / 2 - np.array(step) * 11 / 2
    images = making.stack(np.zeros((12, 24, 48), np.int16), orientation=orientation, origin=origin, step=step)
    for image in images:
        image.PixelSpacing, image.SliceThickness = [1, 0.5], 2
        making.put(image, np.where(inside(places(image)), 1124, 1030).astype(np.uint16))  # intercept -1024
    return images


@pytest.mark.parametrize("wanted", ["LPS", "RAI"])
@pytest.mark.parametrize("plane", PLANES)
def test_a_series_is_turned_as_the_model_wants_it(plane: str, wanted: str, predict: Predict, tmp_path: Path) -> None:
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    images = series(plane)
    making.save_all(images, tmp_path / "in/series")
    options: dict[str, Any] = {"levels": [50], "shift": [4, 6, 2]}
    (case,) = predict(**THREE, orientation=wanted, plugin_options=options).values()
    sign = 1 if wanted == "LPS" else -1
    expected = [inside(places(image) - sign * np.array([2, 6, 4])) for image in images]
    (path,) = (tmp_path / "out").rglob("SEG_*.dcm")
    masks = making.mask_by_source(path)
    for image, mask in zip(images, expected, strict=True):
        found = masks.get((image.SOPInstanceUID, 0), {}).get(1, np.zeros_like(mask))
        assert np.array_equal(found, mask), image.InstanceNumber
    total = int(np.sum(expected))
    assert case["volumes"]["label 1"] == {"pixels": total, "mm3": pytest.approx(total * 1.0)}  # 1 × 0.5 × 2 mm
    by_instance = {image.SOPInstanceUID: image for image in images}
    for frame in dcmread(path).PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        assert position == by_instance[source.ReferencedSOPInstanceUID].ImagePositionPatient


@pytest.mark.parametrize("fault", ["a slice is missing", "a slice is 0.3 mm off"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_stack_of_uneven_slices_has_no_volume_and_no_3d_model(
    fault: str, dims: int, predict: Predict, tmp_path: Path
) -> None:
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    images = series("axial")
    if fault == "a slice is missing":
        del images[5]
    else:
        images[5].ImagePositionPatient[2] += 0.3
    making.save_all(images, tmp_path / "in/series")
    options: dict[str, Any] = {"plugin_options": {"levels": [50]}}
    if dims == 3:
        (case,) = predict(code=4, **THREE, **options).values()
        assert case["status"] == "failed" and "3-D model needs a straight stack of even slices" in case["reason"]
        assert not list((tmp_path / "out").rglob("*.dcm"))
    else:
        (case,) = predict(**options).values()
        pixels = sum(int(inside(places(image)).sum()) for image in images)
        assert case["volumes"]["label 1"] == {"pixels": pixels, "mm3": None}
        assert "non-uniform spacing" in " ".join(case["warnings"])
