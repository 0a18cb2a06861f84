"""Stored values of a series become what they mean: each slice by its own scale, turned round where that is meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from predicting import Predict
from pydicom import dcmread
from pydicom.uid import UID

STORED = np.random.default_rng(9).integers(0, 1000, (4, 12, 10)).astype(np.uint16)


def masks_of(folder: Path, instances: list[str]) -> NDArray[np.bool_]:
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    (path,) = folder.rglob("SEG_*.dcm")
    masks = making.mask_by_source(path)
    nothing = {1: np.zeros(STORED.shape[1:], bool)}
    return np.stack([masks.get((uid, 0), nothing)[1] for uid in instances])


def test_every_slice_has_a_slope_of_its_own(predict: Predict, tmp_path: Path) -> None:
    """As in PET, where the slope follows the counts."""
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    slopes = np.array([0.5, 1.25, 3.0, 0.1])
    images = making.stack(STORED.astype(np.int16))
    for image, stored, slope in zip(images, STORED, slopes, strict=True):
        making.put(image, stored)
        image.RescaleSlope, image.RescaleIntercept = slope, 0
    making.save_all(images, tmp_path / "in/series")
    predict(plugin_options={"levels": [400.1]})
    found = masks_of(tmp_path / "out", [image.SOPInstanceUID for image in images])
    assert np.array_equal(found, STORED * slopes[:, np.newaxis, np.newaxis] > 400.1)


@pytest.mark.parametrize(
    ("modality", "kind", "turned"),
    [
        ("CT", "1.2.840.10008.5.1.4.1.1.2", False),
        ("PT", "1.2.840.10008.5.1.4.1.1.128", False),
        ("NM", "1.2.840.10008.5.1.4.1.1.20", False),
        ("CR", "1.2.840.10008.5.1.4.1.1.1", True),
    ],
)
def test_monochrome1_tells_of_uptake_only_how_to_show_it(
    modality: str, kind: str, turned: bool, predict: Predict, tmp_path: Path
) -> None:
    """A film that is bright where values are small is turned round; counts and Hounsfield units are not."""
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    (image,) = making.stack(STORED[:1].astype(np.int16))
    making.put(image, STORED[0], bits=10)
    del image.RescaleSlope, image.RescaleIntercept
    image.Modality, image.SOPClassUID, image.PhotometricInterpretation = modality, UID(kind), "MONOCHROME1"
    making.save(image, tmp_path / "in/image.dcm")
    predict(plugin_options={"levels": [600]})
    shown = 1023 - STORED[:1].astype(int) if turned else STORED[:1]
    assert np.array_equal(masks_of(tmp_path / "out", [image.SOPInstanceUID]), shown > 600)


def test_the_segmentation_states_the_spacing_of_its_source(predict: Predict, tmp_path: Path) -> None:
    """--spacing is for images that state none."""
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    making.save_all(making.stack(STORED.astype(np.int16)), tmp_path / "in/series")
    predict("--spacing", "3,4", plugin_options={"levels": [400]})
    (path,) = (tmp_path / "out").rglob("SEG_*.dcm")
    measures = dcmread(path).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.PixelSpacing == [0.8, 0.7]
