"""Lengths in another unit than mm: converted where the format says how, else refused, never taken for mm."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from segcli.errors import UnsupportedError
from segcli.formats.table import load_format

NRRD = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 2\nencoding: raw\n"
MHA = b"ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementSpacing = 1 1 2\nElementType = MET_UCHAR\n"
LOCAL = b"ElementDataFile = LOCAL\n"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("nrrd", NRRD + b'units: "cm" "cm" "cm"\n\n'),
        ("nrrd", NRRD + b'space dimension: 3\nspace units: "um" "um" "um"\n\n'),
        ("mha", MHA + b"DistanceUnits = um\n" + LOCAL),
    ],
)
def test_another_unit_than_mm_is_refused(tmp_path: Path, name: str, head: bytes) -> None:
    (tmp_path / "a").write_bytes(head + bytes(24))
    with pytest.raises(UnsupportedError, match="another unit than mm"):
        load_format(name).describe(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("nrrd", NRRD + b'units: "mm" "mm" "mm"\n\n'),
        ("nrrd", NRRD + b'units: "" "mm" ""\n\n'),
        ("mha", MHA + b"DistanceUnits = mm\n" + LOCAL),
        ("mha", MHA + b"DistanceUnits = ?\n" + LOCAL),
    ],
)
def test_mm_is_read(tmp_path: Path, name: str, head: bytes) -> None:
    (tmp_path / "a").write_bytes(head + bytes(24))
    assert load_format(name).describe(tmp_path / "a").spacing == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(("code", "factor"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (4, None), (7, None)])
def test_units_of_a_nifti(tmp_path: Path, code: int, factor: float | None) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 3, 2), np.uint8), np.diag([1, 1, 2, 1]))
    image.header["xyzt_units"] = code
    nibabel.save(image, tmp_path / "a.nii")
    if factor is None:
        with pytest.raises(UnsupportedError, match="unit of length that does not exist"):
            load_format("nifti").describe(tmp_path / "a.nii")
    else:
        assert load_format("nifti").describe(tmp_path / "a.nii").spacing == pytest.approx((factor, factor, 2 * factor))
