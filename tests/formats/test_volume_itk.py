"""NRRD and MetaImage, which segcli decodes itself, against SimpleITK."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from plain_files import case_of, read, scene, segment

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.interface import InputFiles, ReadRequest
from segcli.formats.volume import MHA, NRRD
from segcli.image import Geometry

FORMATS = [(NRRD, ".nrrd"), (MHA, ".mha")]
VALUES = np.random.default_rng(0).integers(-900, 900, (5, 6, 7)).astype(np.int16)  # slice row column


def placed(values: Any, vector: bool = False) -> sitk.Image:
    image = sitk.GetImageFromArray(values, isVector=vector)
    if image.GetDimension() == 3:
        c, s = math.cos(0.3), math.sin(0.3)
        image.SetDirection((c, -s, 0, s, c, 0, 0, 0, -1))
        image.SetOrigin((-1 / 7, 1e-17, 12345.678901234567))
        image.SetSpacing((0.1234567890123, 1 / 3, 2.7))
    return image


def same_place(a: sitk.Image, b: sitk.Image) -> bool:
    keys = ("GetOrigin", "GetSpacing", "GetDirection", "GetSize")
    return all(getattr(a, key)() == getattr(b, key)() for key in keys)


TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
KINDS = [
    pytest.param(*FORMATS[which], dtype, (number + which) % 2 == 0, id=f"{FORMATS[which][1]}-{dtype}")
    for number, dtype in enumerate(TYPES)
    for which in (0, 1)
]
"""Every type in both formats, compressed in one of the two."""


@pytest.mark.parametrize(("format_", "suffix", "dtype", "compressed"), KINDS)
def test_every_type_is_thresholded_as_simpleitk_reads_it(
    format_: Any, suffix: str, dtype: str, compressed: bool, tmp_path: Path
) -> None:
    values = scene(30, 7, top=100 if dtype[1] == "1" else 20000, dtype=dtype).reshape(5, 6, 7)
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(placed(values), str(path), compressed)
    threshold = np.median(values)
    done = segment(format_, path, threshold)
    (part,) = done.result.parts
    assert part.pixels.dtype == np.dtype(dtype)
    assert np.array_equal(part.pixels[:, 0], values)
    mask, source = sitk.ReadImage(str(done.path)), sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(mask), values > threshold)
    assert same_place(mask, source)
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert format_.recognises(path.read_bytes()[:4096])


@pytest.mark.parametrize(("format_", "suffix"), FORMATS)
def test_geometry(format_: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(placed(VALUES), str(path))
    source = sitk.ReadImage(str(path))
    geometry = read(format_, path).parts[0].geometry
    assert geometry.axes and geometry.positions and geometry.spacing
    for i, j, k in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (2, 3, 4)):
        column, row, _ = (np.array(axis) for axis in geometry.axes)
        here = np.array(geometry.positions[k]) + i * column * geometry.spacing[1] + j * row * geometry.spacing[0]
        np.testing.assert_allclose(here, source.TransformIndexToPhysicalPoint((i, j, k)), atol=1e-9)
    assert geometry.slice_spacing == pytest.approx(2.7)
    assert geometry.orientation == "LPI"
    described = format_.describe(path)
    assert (described.shape, described.orientation, len(described.spacing)) == ((5, 6, 7), "LPI", 3)


@pytest.mark.parametrize(("format_", "suffix"), FORMATS)
def test_times_vectors_and_planes(format_: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.JoinSeries([placed(VALUES), placed(VALUES + 1)]), str(path))
    done = segment(format_, path, 0)
    assert [part.shape for part in done.result.parts] == [(5, 1, 6, 7)] * 2
    mask = sitk.ReadImage(str(done.path))
    assert np.array_equal(sitk.GetArrayFromImage(mask), np.stack([VALUES, VALUES + 1]) > 0)
    assert same_place(mask, sitk.ReadImage(str(path)))

    vector = np.stack([VALUES, VALUES + 7], axis=-1)
    sitk.WriteImage(placed(vector, vector=True), str(path))
    done = segment(format_, path, 0, channels=("c",), channel="1")
    assert np.array_equal(done.result.parts[0].pixels[:, 0], VALUES + 7)
    assert same_place(sitk.ReadImage(str(done.path)), sitk.ReadImage(str(path)))

    sitk.WriteImage(placed(VALUES[0]), str(path))
    done = segment(format_, path, 0)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(done.path))), VALUES[0] > 0)


def test_the_mask_keeps_the_space_of_the_nrrd(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    lines = (
        "NRRD0004", "type: short", "dimension: 3", "space: right-anterior-superior", "sizes: 7 6 5",
        "space directions: (0.1,0.2,0) (-0.2,0.1,0) (0,0,3)", "endian: little", "encoding: raw",
        "space origin: (1,2,3)", "content: secret",
    )  # fmt: skip
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + VALUES.astype("<i2").tobytes())
    done = segment(NRRD, path, 0)
    assert done.path.name == "mask_a.dat.nrrd"
    text = done.path.read_bytes()
    assert b"space: right-anterior-superior\n" in text
    assert b"space directions: (0.1,0.2,0) (-0.2,0.1,0) (0,0,3)\n" in text
    assert b"secret" not in text
    assert same_place(sitk.ReadImage(str(done.path)), sitk.ReadImage(str(path), imageIO="NrrdImageIO"))
    assert done.result.parts[0].geometry.positions is not None
    assert done.result.parts[0].geometry.positions[0] == (-1.0, -2.0, 3.0)


@pytest.mark.parametrize(
    ("format_", "head", "expected"),
    [
        (NRRD, "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nencoding: raw\nendian: little\n\n", Geometry()),
        (
            NRRD,
            "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nspacings: 1 2 3\nencoding: raw\nendian: little\n\n",
            Geometry(spacing=(2.0, 1.0), slice_spacing=3.0),
        ),
        (
            MHA,
            "ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
            Geometry(),
        ),
        (
            MHA,
            "NDims = 3\nElementSpacing = 1 2 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
            Geometry(spacing=(2.0, 1.0), slice_spacing=3.0),
        ),
    ],
)
def test_no_position_is_invented(format_: Any, head: str, expected: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(head.encode() + VALUES.astype("<i2").tobytes())
    assert format_.recognises(path.read_bytes()[:4096])
    done = segment(format_, path, 0)
    assert done.result.parts[0].geometry == expected
    assert np.array_equal(done.result.parts[0].pixels[:, 0], VALUES)
    assert b"origin" not in done.path.read_bytes()[:400].lower()
    assert b"Offset" not in done.path.read_bytes()[:400]


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "hex", "text"])
@pytest.mark.parametrize(
    ("space", "kinds", "sizes", "steps"),
    [
        ("left-anterior-superior", "space space space", (4, 3, 5), "(0.5,0.1,0) (-0.1,0.5,0) (0,0,3)"),
        ("right-anterior-superior", "space space space", (4, 3, 5), "(0,0.5,0.01) (0.5,0,0) (0,-0.05,2.5)"),
        ("left-posterior-superior", "list space space space", (2, 3, 4, 5), "none (1,0,0) (0,2,0) (0,0,3)"),
        ("left-posterior-superior", "space space space vector", (3, 4, 5, 2), "(1,0,0) (0,2,0) (0,0,3) none"),
        ("left-posterior-superior", "space vector space space", (3, 2, 4, 5), "(1,0,0) none (0,2,0) (0,0,3)"),
    ],
)
def test_nrrd_headers_mean_what_simpleitk_takes_them_for(
    space: str, kinds: str, sizes: tuple[int, ...], steps: str, encoding: str, endian: str, tmp_path: Path
) -> None:
    values = np.random.default_rng(1).integers(-30000, 30000, math.prod(sizes)).astype("<i2")
    data = values.astype("<i2" if endian == "little" else ">i2").tobytes()
    text = " ".join(map(str, values)).encode()
    packed = {"raw": data, "gzip": gzip.compress(data), "hex": data.hex().encode(), "text": text}
    path = tmp_path / "a.nrrd"
    lines = (
        "NRRD0005", "type: int16", f"dimension: {len(sizes)}", f"space: {space}",
        "sizes: " + " ".join(map(str, sizes)), f"space directions: {steps}", f"kinds: {kinds}",
        f"endian: {endian}", f"encoding: {encoding}", "space origin: (1.5,-2.25,3)",
    )  # fmt: skip
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + packed[encoding])
    oracle = sitk.ReadImage(str(path))
    (part,) = read(NRRD, path).parts
    theirs = sitk.GetArrayFromImage(oracle)
    assert np.array_equal(np.moveaxis(part.pixels, 1, -1), theirs.reshape(*theirs.shape[:3], -1))
    geometry = part.geometry
    assert geometry.axes and geometry.positions and geometry.spacing
    assert (geometry.spacing[1], geometry.spacing[0]) == oracle.GetSpacing()[:2]
    assert np.array_equal(np.array(geometry.axes).T.ravel(), oracle.GetDirection())
    assert geometry.positions[0] == oracle.GetOrigin()


@pytest.mark.parametrize(("format_", "suffix", "data"), [(MHA, ".mhd", ".raw"), (NRRD, ".nhdr", ".raw")])
def test_data_in_a_file_beside_the_header(format_: Any, suffix: str, data: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(placed(VALUES), str(path))
    assert format_.describe(path).companions == (f"a{data}",)
    case = case_of(format_, path, tmp_path / f"a{data}")
    assert str(case.output) == f"a{suffix}{'.mha' if format_ is MHA else '.nrrd'}"
    files = InputFiles(case.files)
    result = format_.read(case, ReadRequest(), files)
    assert np.array_equal(result.parts[0].pixels[:, 0], VALUES)
    assert files.digest() == InputFiles(case.files).digest()
    segment(format_, path, 0, beside=case.files[1:])
    with pytest.raises(UnreadableError, match="another file"):  # one that no digest would tell
        read(format_, path)
    (tmp_path / f"a{data}").unlink()
    with pytest.raises(UnreadableError, match="missing"):
        format_.describe(path)


@pytest.mark.parametrize("name", ["../b.raw", "/etc/passwd", "LIST", "b%03d.raw 1 5 1", "x/../../b.raw"])
def test_a_header_cannot_point_out_of_its_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mhd"
    path.write_text(f"NDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nElementDataFile = {name}\n")
    for attempt in (MHA.describe, lambda p: read(MHA, p)):
        with pytest.raises(UnsupportedError) as caught:
            attempt(path)
        assert "passwd" not in str(caught.value)
    path.write_text(f"NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nencoding: raw\ndata file: {name}\n\n")
    with pytest.raises(UnsupportedError):
        NRRD.describe(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("format_", "suffix"), FORMATS)
def test_damage_is_told(format_: Any, suffix: str, compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(placed(VALUES), str(path), compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(UnreadableError):
        read(format_, path)
    if compressed:
        path.write_bytes(whole[:-40] + bytes(byte ^ 255 for byte in whole[-40:]))
        with pytest.raises(UnreadableError):
            read(format_, path)
    path.write_bytes(whole)
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        read(format_, path, max_pixels=VALUES.size - 1)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.Image((4, 4, 4), sitk.sitkComplexFloat32), str(path))
    with pytest.raises(UnsupportedError, match="complex"):
        read(NRRD, path)
