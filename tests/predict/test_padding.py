"""What is not a number is background, in its own place alone, and the network is shown nothing that is not there."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from predicting import Predict

SHAPE = (9, 8, 4)  # i j k


def save(values: NDArray[np.float32], path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def mask_of(path: Path) -> NDArray[np.uint8]:
    return np.asarray(nibabel.load(path).dataobj)


def test_a_hole_in_one_time_point_is_none_in_another(predict: Predict, tmp_path: Path) -> None:
    values = np.full((*SHAPE, 3), 100, np.float32)
    values[2:5, 1, :2, 1] = np.nan
    save(values, tmp_path / "in/a.nii")
    predict(plugin_options={"levels": [50]})
    assert np.array_equal(mask_of(tmp_path / "out/a.nii"), np.isfinite(values))


def test_a_hole_in_one_channel_is_a_hole(predict: Predict, tmp_path: Path) -> None:
    values = np.full((*SHAPE, 1, 2), 100, np.float32)  # i j k, time, vector
    values[2:5, 1, :2, 0, 1] = np.nan
    save(values, tmp_path / "in/a.nii")
    predict(channels=("one", "other"), plugin_options={"levels": [50], "weights": [1, 0]})
    assert np.array_equal(mask_of(tmp_path / "out/a.nii"), np.isfinite(values).all(axis=(3, 4)))


def test_beside_a_hole_the_network_sees_the_darkest_of_the_image(predict: Predict, tmp_path: Path) -> None:
    """The model looks two rows up (nibabel's second axis): there lie -1000, not 0, of an image from -1000 to 100."""
    values = np.full(SHAPE, 100, np.float32)
    values[0, 0, 0] = -1000
    values[4, 3, 2] = np.nan
    save(values, tmp_path / "in/a.nii")
    predict(tile=SHAPE[1::-1], plugin_options={"levels": [-500], "shift": [2, 0]})
    expected = np.ones(SHAPE, bool)
    expected[:, :2] = False
    expected[0, 2, 0] = expected[4, 5, 2] = False
    expected[4, 3, 2] = False  # the hole itself
    assert np.array_equal(mask_of(tmp_path / "out/a.nii"), expected)


def test_padding_of_one_slice_of_a_series_is_none_of_another(predict: Predict, tmp_path: Path) -> None:
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    stored = np.full((3, 10, 12), 1200, np.uint16)
    stored[1, 2:5, :4] = 0
    images = making.stack(stored.astype(np.int16) - 1024)
    for image in images:
        image.PixelPaddingValue = 0
        image["PixelPaddingValue"].VR = "US"
    making.save_all(images, tmp_path / "in/series")
    predict(plugin_options={"levels": [-2000]})
    (path,) = (tmp_path / "out").rglob("SEG_*.dcm")
    masks = making.mask_by_source(path)
    for image, expected in zip(images, stored > 0, strict=True):
        assert np.array_equal(masks[image.SOPInstanceUID, 0][1], expected)
