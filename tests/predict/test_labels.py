"""Label numbers of the card come out as they are, in every format, however large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from numpy.typing import NDArray
from PIL import Image
from predicting import Predict, png
from pydicom import dcmread

LEVELS = [40, 90, 180]
VALUES = (300, 7, 40_000)
"""In an order that is not their size, two of them beyond 8 bit; 300 is 44 and 40,000 is 64 where a byte overflows."""
PIXELS = np.random.default_rng(8).integers(0, 255, (5, 20, 30), dtype=np.uint8)


def card(values: tuple[int, ...] = VALUES) -> dict[str, Any]:
    from probe import label  # noqa: PLC0415 - on the path only now

    return {"labels": tuple(label(value) for value in values), "plugin_options": {"levels": LEVELS}}


def expected(pixels: NDArray[Any], values: tuple[int, ...] = VALUES) -> NDArray[np.intp]:
    return np.asarray(np.array([0, *values])[(pixels[..., np.newaxis] > LEVELS).sum(axis=-1)])


def written(source: Path) -> None:
    """The picture in each format, volumes in those that hold them."""
    Image.fromarray(PIXELS[0]).save(source / "a.png")
    tifffile.imwrite(source / "a.tif", PIXELS, photometric="minisblack")
    nibabel.save(nibabel.Nifti1Image(PIXELS.T, np.eye(4)), source / "a.nii.gz")
    header = nibabel.Nifti1Header(endianness=">")
    (source / "big.nii").write_bytes(nibabel.Nifti1Image(PIXELS.T, np.eye(4), header).to_bytes())
    for suffix in ("nrrd", "mha"):
        sitk.WriteImage(sitk.GetImageFromArray(PIXELS), str(source / f"a.{suffix}"))


def read(masks: Path) -> dict[str, NDArray[Any]]:
    """As the formats' own libraries read them."""
    return {
        "a.png": png(masks / "a.png")[np.newaxis],
        "a.tif": tifffile.imread(masks / "a.tif"),
        "a.nii.gz": np.asarray(nibabel.load(masks / "a.nii.gz").dataobj).T,
        "big.nii": np.asarray(nibabel.load(masks / "big.nii").dataobj).T,
        "a.nrrd": sitk.GetArrayFromImage(sitk.ReadImage(str(masks / "a.nrrd"))),
        "a.mha": sitk.GetArrayFromImage(sitk.ReadImage(str(masks / "a.mha"))),
    }


@pytest.mark.parametrize("values", [VALUES, (255, 7, 40)], ids=["16 bit", "8 bit"])
def test_every_format_holds_the_numbers_of_the_card(values: tuple[int, ...], predict: Predict, tmp_path: Path) -> None:
    written(tmp_path / "in")
    cases = predict(**card(values))
    for name, mask in read(tmp_path / "out").items():
        of = expected(PIXELS[: len(mask)], values)
        assert np.array_equal(mask, of), name
        assert mask.dtype.newbyteorder("=") == (np.uint8 if max(values) < 256 else np.uint16), name
        counts = {key: volume["pixels"] for key, volume in cases[name]["volumes"].items()}
        assert counts == {f"label {value}": (of == value).sum() for value in values}, name


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_dicom_segmentation_says_which_segment_is_which_label(kind: str, predict: Predict, tmp_path: Path) -> None:
    """Binary: segments 1, 2, 3 in the order of the card; a label map has the card's own numbers."""
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    images = making.stack(PIXELS.astype(np.int16))
    making.save_all(images, tmp_path / "in/series")
    cases = predict("--dicom-seg", kind, **card())
    (path,) = (tmp_path / "out").rglob("SEG_*.dcm")
    seg = highdicom.seg.Segmentation.from_dataset(dcmread(path))
    assert seg.segmentation_type.value == kind.upper()
    numbers = (1, 2, 3) if kind == "binary" else VALUES
    described = {seg.get_segment_description(n).segment_label: n for n in seg.segment_numbers}
    assert described == {f"label {value}": number for value, number in zip(VALUES, numbers, strict=True)}
    pixels = seg.get_pixels_by_source_instance(
        [image.SOPInstanceUID for image in images], combine_segments=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(pixels, expected(PIXELS, numbers))
    (case,) = cases.values()
    assert {key: volume["pixels"] for key, volume in case["volumes"].items()} == {
        f"label {value}": (expected(PIXELS) == value).sum() for value in VALUES
    }
