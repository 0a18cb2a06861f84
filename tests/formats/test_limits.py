"""How many slices a few bytes may announce."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from plain_files import case_of

from segcli.errors import UnsupportedError
from segcli.formats.interface import InputFiles, ReadRequest
from segcli.formats.limits import check_slices
from segcli.formats.nifti import FORMAT as NIFTI
from segcli.formats.readers import Readers
from segcli.formats.table import load_format
from segcli.settings import PredictSettings

DEFAULT = PredictSettings().max_pixels


@pytest.mark.parametrize(
    ("slices", "stored"),
    [
        (1_500, 100),  # a whole CT whose mask is empty
        (2_000, 0),
        (10_800, 10_800 * 2_000),  # 300 volumes of functional MR, 36 slices of 64 x 64 each
        (40_000, 20_000_000),
    ],
)
def test_what_bytes_pay_for_passes(slices: int, stored: int) -> None:
    check_slices(slices, stored, DEFAULT)


@pytest.mark.parametrize(("slices", "stored"), [(2_001, 92), (10_000, 92), (65_535, 16_000_000), (2**31, 10**9)])
def test_slices_that_no_bytes_pay_for_are_refused_with_a_way_out(slices: int, stored: int) -> None:
    with pytest.raises(UnsupportedError, match=r"--max-pixels \d+") as caught:
        check_slices(slices, stored, DEFAULT)
    check_slices(slices, stored, int(str(caught.value).split("--max-pixels ")[1].split()[0]))


def packed(shape: tuple[int, ...], dtype: str) -> bytes:
    header = nibabel.Nifti2Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header["vox_offset"], header["scl_slope"] = 544, 1
    voxels = bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return gzip.compress(header.binaryblock + bytes(4) + voxels, 9)


def test_a_nifti_of_92_bytes_with_10_000_slices_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    for shape in ((1, 1, 10_000), (1, 1, 100, 100), (1, 1, 300_000)):
        path.write_bytes(packed(shape, "u1"))
        assert path.stat().st_size < 1_000
        with pytest.raises(UnsupportedError, match="bytes"):
            NIFTI.read(case_of(NIFTI, path), ReadRequest(), InputFiles((path,)))


def test_an_empty_mask_of_a_whole_body_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(packed((64, 64, 1_900), "u1"))
    assert path.stat().st_size < 20_000
    (part,) = NIFTI.read(case_of(NIFTI, path), ReadRequest(), InputFiles((path,))).parts
    assert part.shape == (1_900, 1, 64, 64)


def masks() -> dict[str, bytes]:
    """64 x 64 pixels of a byte in every plain format."""
    labels, tiff, png = np.zeros((64, 64), np.uint8), io.BytesIO(), io.BytesIO()
    tifffile.imwrite(tiff, labels)
    Pillow.fromarray(labels).save(png, "PNG")
    head = "NDims = 2\nDimSize = 64 64\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    return {
        "png": png.getvalue(),
        "tiff": tiff.getvalue(),
        "nifti": packed((64, 64), "u1"),
        "nrrd": b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 64 64\nencoding: raw\n\n" + labels.tobytes(),
        "mha": head.encode() + labels.tobytes(),
    }


@pytest.mark.parametrize("name", masks())
def test_a_mask_may_take_as_much_memory_as_an_image(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mask"
    path.write_bytes(masks()[name])
    (labels,) = load_format(name).read_labels(path, 1_024)  # pixels of four bytes
    assert labels.pixels.shape == (1, 64, 64)
    with pytest.raises(UnsupportedError, match=r"takes 4,096 bytes, the limit is 4,092"):
        load_format(name).read_labels(path, 1_023)


def test_a_mask_that_announces_more_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, header = tmp_path / "a.nii.gz", nibabel.Nifti1Header()
    header.set_data_shape((2_000, 2_000, 600))
    header["vox_offset"] = 352
    header.set_data_dtype("u1")
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)))
    with Readers(1) as readers, pytest.raises(UnsupportedError, match=r"takes 2,400,000,000 bytes"):
        readers.read_labels("nifti", path)
