"""Volumes whose headers contradict themselves or state nonsense: refused, or taken as unknown, never repaired."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from plain_files import read

from segcli.errors import SegcliError, UnreadableError, UnsupportedError
from segcli.formats.nifti import FORMAT as NIFTI
from segcli.formats.volume import MHA, NRRD
from segcli.image import Geometry

VALUES = np.random.default_rng(0).integers(-900, 900, (5, 6, 7)).astype("<i2")  # slice row column
RAW = VALUES.tobytes()
PACKED = zlib.compress(RAW)
IDENTITY = "1 0 0 0 1 0 0 0 1"


def nrrd(*lines: str, encoding: str = "raw", sizes: str = "7 6 5") -> bytes:
    head = ["NRRD0004", "type: short", f"dimension: {len(sizes.split())}", f"sizes: {sizes}", "endian: little"]
    return "\n".join([*head, f"encoding: {encoding}", *lines, "", ""]).encode()


def mha(*lines: str) -> bytes:
    head = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", *lines]
    return "\n".join([*head, "DimSize = 7 6 5", "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""]).encode()


def nifti(**fields: Any) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_shape((7, 6, 5))
    header.set_data_dtype("<i2")
    header.set_sform(np.diag([2.0, 3, 4, 1]), 1)
    header.set_qform(np.diag([2.0, 3, 4, 1]), 1)
    header["scl_slope"], header["vox_offset"] = 1, 352
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(4) + RAW


LPS = "space: left-posterior-superior"
TEXT = " ".join(map(str, VALUES.ravel())).encode()
WIDER = VALUES.astype("<i4").tobytes()
REFUSED: list[tuple[Any, bytes, type[SegcliError], str]] = [
    (NRRD, nrrd(encoding="bzip2") + bz2.compress(RAW), UnsupportedError, "bzip2"),
    (NRRD, nrrd("byte skip: -1") + RAW[:-20], UnreadableError, "cut off"),
    (NRRD, nrrd(encoding="raw") + WIDER, UnreadableError, "more data than its header states"),
    (NRRD, nrrd(encoding="gzip") + gzip.compress(WIDER), UnreadableError, "more data than its header states"),
    (NRRD, nrrd(encoding="hex") + WIDER.hex().encode(), UnreadableError, "more data than its header states"),
    (NRRD, nrrd(encoding="hex") + RAW[:-2].hex().encode(), UnreadableError, "cut off"),
    (NRRD, nrrd(encoding="text") + TEXT + b" 7", UnreadableError, "fewer or more numbers"),
    (NRRD, nrrd(encoding="text") + TEXT[:-10], UnreadableError, "fewer or more numbers"),
    (NRRD, nrrd(encoding="text") + TEXT.replace(b" ", b".5 ", 1), UnreadableError, "damaged"),
    (NRRD, nrrd(encoding="text") + TEXT.replace(b" ", b"", 1) + b" 40000", UnreadableError, "its type does not"),
    (NRRD, nrrd("spacings: -1 2 3") + RAW, UnreadableError, "no positive length"),
    (NRRD, nrrd("spacings: 1 2 3", "kinds: time space space") + RAW, UnsupportedError, "time among its first three"),
    (NRRD, nrrd("kinds: domain domain time") + RAW, UnsupportedError, "time among its first three"),
    (NRRD, nrrd(LPS, "space directions: none (0,3,0) (0,0,4)") + RAW, UnsupportedError, "without direction or kind"),
    (NRRD, nrrd(LPS, "space directions: (2,0,0) (1,3,0) (0,0,4)") + RAW, UnsupportedError, "right angles within"),
    (NRRD, nrrd(LPS, "space directions: (2,0,0) (2,0,0) (0,0,4)") + RAW, UnreadableError, "."),
    (NRRD, nrrd(LPS, "space directions: (nan,0,0) (0,3,0) (0,0,4)") + RAW, UnreadableError, "."),
    (MHA, mha("CompressedData = True") + PACKED, UnreadableError, "size of its compressed data"),
    (MHA, mha("CompressedData = True", f"CompressedDataSize = {len(PACKED) - 20}") + PACKED, UnreadableError, "."),
    (MHA, mha() + WIDER, UnreadableError, "more data than its header states"),
    (MHA, mha("ElementSpacing = -1 2 3") + RAW, UnreadableError, "no positive length"),
    (MHA, mha("ElementSpacing = 0 2 3") + RAW, UnreadableError, "."),
    (MHA, mha("ElementSpacing = nan 2 3") + RAW, UnreadableError, "no numbers"),
    (MHA, mha(f"TransformMatrix = {IDENTITY}", "Offset = nan 2 3") + RAW, UnreadableError, "no numbers"),
    (MHA, mha("TransformMatrix = 2 0 0 0 1 0 0 0 1", "Offset = 1 2 3") + RAW, UnsupportedError, "no unit vectors"),
    (MHA, mha("TransformMatrix = 1 0 0 0 1 0 1 0 0", "Offset = 1 2 3") + RAW, UnreadableError, "."),
    (NIFTI, nifti(datatype=2, bitpix=8), UnreadableError, "more data than its header states"),
    (NIFTI, nifti(dim=[2, 7, 6, 5, 1, 1, 1, 1]), UnreadableError, "more data than its header states"),
    (NIFTI, gzip.compress(nifti(datatype=2, bitpix=8)), UnreadableError, "more data than its header states"),
    (NIFTI, nifti(vox_offset=0), UnreadableError, "place of the voxels"),
    (NIFTI, nifti(vox_offset=348), UnreadableError, "place of the voxels"),
    (NIFTI, nifti(scl_slope=np.inf), UnreadableError, "infinite scale"),
    (NIFTI, nifti(scl_slope=2, scl_inter=np.nan), UnreadableError, "."),
    (NIFTI, nifti(srow_x=[2, 0.5, 0, 0], qform_code=0), UnsupportedError, "right angles within"),
    (NIFTI, nifti(datatype=1, bitpix=1), UnsupportedError, "unknown type"),
    (NIFTI, nifti(datatype=1536, bitpix=128), UnsupportedError, "128-bit floats|unknown type"),
]


@pytest.mark.parametrize(("format_", "data", "kind", "words"), REFUSED)
def test_contradictions_are_refused(
    format_: Any, data: bytes, kind: type[SegcliError], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    with pytest.raises(kind, match=words):
        read(format_, path)


def test_the_neighbours_of_what_is_refused_are_read(tmp_path: Path) -> None:
    """So that the table above does not owe its errors to something else."""
    path = tmp_path / "a.dat"
    sound = [
        (NRRD, nrrd("byte skip: -1") + b"anything" + RAW),
        (NRRD, nrrd(LPS, "space directions: (2,0,0) (0,3,0) (0,0,4)") + RAW),
        (NRRD, nrrd("spacings: 1 2 3 4", "kinds: space space space time", sizes="7 6 5 1") + RAW),
        (MHA, mha("CompressedData = True", f"CompressedDataSize = {len(PACKED)}") + PACKED),
        (MHA, mha(f"TransformMatrix = {IDENTITY}", "Offset = 1 2 3", "ElementSpacing = 1 2 3") + RAW),
        (NIFTI, nifti()),
        (NIFTI, nifti(scl_slope=np.nan)),
        (NIFTI, nifti(scl_slope=0, scl_inter=7)),
    ]
    for format_, data in sound:
        path.write_bytes(data)
        (part,) = read(format_, path).parts
        assert np.array_equal(part.pixels[:, 0], VALUES), data[:60]


@pytest.mark.parametrize("unknown", ["nan 2 3", "1 2 NaN"])
def test_a_spacing_that_is_unknown_is_not_made_up(unknown: str, tmp_path: Path) -> None:
    """NRRD's NaN, for which SimpleITK has 1 mm."""
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(f"spacings: {unknown}") + RAW)
    assert read(NRRD, path).parts[0].geometry == Geometry()


def test_where_one_form_makes_no_sense_the_other_counts_and_this_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(srow_x=[np.nan, 0, 0, 0]))
    result = read(NIFTI, path)
    assert result.parts[0].geometry.spacing == (3, 2)
    assert result.warnings == ("the NIfTI header's sform makes no sense: the qform counts",)


def test_an_sform_of_other_spacings_than_pixdim_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(qform_code=0, pixdim=[1, 9, 3, 4, 1, 1, 1, 1]))
    result = read(NIFTI, path)
    assert result.parts[0].geometry.spacing == (3, 2)
    assert result.warnings == ("the NIfTI header's sform and pixdim state other spacings: the sform counts",)
    path.write_bytes(nifti(qform_code=0, pixdim=[1, 0, 3, np.nan, 1, 1, 1, 1]))
    assert not read(NIFTI, path).warnings


@pytest.mark.parametrize(
    ("format_", "data"),
    [
        (NIFTI, nifti(srow_x=[2, 0, 1, 0], qform_code=0, pixdim=[1, 2, 3, 17**0.5, 1, 1, 1, 1])),
        (NRRD, nrrd(LPS, "space directions: (2,0,0) (0,3,0) (1,0,4)") + RAW),
    ],
)
def test_leaning_slices_are_for_2_d_models_and_told(format_: Any, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    result = read(format_, path)
    assert "not at right angles" in result.warnings[0]
    assert result.parts[0].geometry.slice_spacing == pytest.approx(4), "along the normal"
    with pytest.raises(UnsupportedError, match="3-D model needs"):
        read(format_, path, spatial_dims=3)
