"""NIfTI against nibabel, and Geometry against nibabel's affine in every orientation."""

from __future__ import annotations

import gzip
import io
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from plain_files import mutate, read, scene, segment, survives

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.nifti import FORMAT
from segcli.image import Geometry

VOLUME = np.random.default_rng(0).integers(-900, 900, (7, 6, 5)).astype(np.int16)  # i j k
OBLIQUE = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.3, -0.4, 1.2) @ np.diag([-0.7, 0.9, 2.5]), [-31.5, 17.25, 100.125]
)
COPIED = [
    "dim",
    "pixdim",
    "xyzt_units",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
]


def nifti(
    values: Any, affine: Any = OBLIQUE, kind: Any = nibabel.Nifti1Image, order: str = "<", **fields: Any
) -> bytes:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(values.dtype)
    image = kind(values, affine, header)
    if not fields:
        return bytes(image.to_bytes())
    header = image.header.copy()
    header["scl_slope"], header["scl_inter"] = fields.pop("slope", (1, 0))
    for name, value in fields.items():
        header[name] = value
    header["vox_offset"] = int(header["sizeof_hdr"]) + 4
    return bytes(header.binaryblock) + b"\0\0\0\0" + values.astype(header.get_data_dtype()).tobytes(order="F")


def load(data: bytes) -> Any:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def ours(values: Any) -> Any:
    """nibabel's i j k → our slice, row, column."""
    return np.transpose(values, (2, 1, 0))


def kinds_of_file() -> list[Any]:
    """Each type in two kinds of file that differ in everything; together every pair of choices occurs."""
    choices = ("a.nii", "a.nii.gz"), (nibabel.Nifti1Image, nibabel.Nifti2Image), "<>"
    found = []
    for number, dtype in enumerate(("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")):
        for flip in (0, 1):
            name, kind, order = (choices[i][(number >> i & 1) ^ flip] for i in range(3))
            found.append(pytest.param(dtype, name, kind, order, id=f"{dtype}-{name}-{kind.__name__}-{order}"))
    return found


@pytest.mark.parametrize(("dtype", "name", "kind", "order"), kinds_of_file())
def test_every_type_is_thresholded_as_nibabel_reads_it(
    dtype: str, name: str, kind: Any, order: str, tmp_path: Path
) -> None:
    top = 2**62 if dtype[1] == "8" else 100 if dtype[1] == "1" else 20000
    values = scene(7, 30, top=top, dtype=dtype).reshape(7, 6, 5)
    data = nifti(values, kind=kind, order=order, descrip=b"secret")
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    threshold = np.median(values)
    done = segment(FORMAT, path, threshold)
    (part,) = done.result.parts
    assert part.pixels.dtype == np.dtype(dtype)
    assert np.array_equal(part.pixels[:, 0], ours(values))
    assert FORMAT.recognises(data[:4096])
    out = done.path.read_bytes()
    assert (out[:2] == b"\x1f\x8b") == name.endswith("gz")
    mask = kind.from_bytes(gzip.decompress(out) if name.endswith("gz") else out)
    assert np.array_equal(np.asarray(mask.dataobj), values > threshold)
    source = kind.from_bytes(data).header
    for field in COPIED:
        assert source[field].tobytes() == mask.header[field].tobytes(), field
    assert mask.header.get_slope_inter() in ((1.0, 0.0), (None, None))
    assert b"secret" not in mask.header.binaryblock
    assert not mask.header.extensions


def axis_affines() -> list[Any]:
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[order, range(3)] = np.array(signs) * (0.5, 1.5, 3.0)
            found.append(nibabel.affines.from_matvec(matrix, (3, -4, 5)))
    return [*found, OBLIQUE]


@pytest.mark.parametrize("affine", axis_affines(), ids=lambda a: "".join(nibabel.aff2axcodes(a)))
def test_geometry_in_every_orientation(affine: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(VOLUME, affine))
    geometry = read(FORMAT, path).parts[0].geometry
    assert_lies_as(geometry, affine)
    assert geometry.orientation == "".join(nibabel.aff2axcodes(affine))
    described = FORMAT.describe(path)
    assert described.orientation == geometry.orientation
    assert described.shape == (5, 6, 7)
    done = segment(FORMAT, path, 0)
    assert np.array_equal(nibabel.Nifti1Image.from_bytes(done.path.read_bytes()).affine, load(path.read_bytes()).affine)


def assert_lies_as(geometry: Geometry, affine: Any) -> None:
    """Voxel (i, j, k) of the affine lies where the geometry says, x and y negated."""
    assert geometry.axes and geometry.positions and geometry.spacing and geometry.slice_spacing
    column, row, stack = (np.array(axis) for axis in geometry.axes)
    for i, j, k in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (3, 2, 4)):
        here = np.array(geometry.positions[k]) + i * column * geometry.spacing[1] + j * row * geometry.spacing[0]
        expected = (affine @ [i, j, k, 1])[:3] * (-1, -1, 1)
        np.testing.assert_allclose(here, expected, atol=1e-4)
    assert np.linalg.norm(stack) == pytest.approx(1)
    assert geometry.slice_spacing == pytest.approx(float(np.linalg.norm(affine[:3, 2])), rel=1e-5)


def test_time_points_are_parts(tmp_path: Path) -> None:
    values = np.stack([VOLUME, VOLUME[::-1], VOLUME + 1], axis=-1)
    path = tmp_path / "a.nii.gz"
    data = nifti(values, pixdim=[-1, 0.7, 0.9, 2.5, 1.75, 0, 0, 0], xyzt_units=2 | 8)
    path.write_bytes(gzip.compress(data))
    done = segment(FORMAT, path, 10)
    assert [part.shape for part in done.result.parts] == [(5, 1, 6, 7)] * 3
    mask = load(done.path.read_bytes())
    assert np.array_equal(np.asarray(mask.dataobj), values > 10)
    assert mask.header["pixdim"].tobytes() == load(data).header["pixdim"].tobytes()
    assert FORMAT.describe(path).shape == (15, 6, 7)


def test_vectors_and_colours_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    vector = np.stack([VOLUME, VOLUME + 5], axis=-1)[:, :, :, None]  # i j k t=1 u=2
    path.write_bytes(nifti(vector))
    done = segment(FORMAT, path, 0)
    assert done.result.parts[0].shape == (5, 2, 6, 7)
    assert np.array_equal(done.result.parts[0].pixels[:, 1], ours(VOLUME + 5))
    assert load(done.path.read_bytes()).shape == (7, 6, 5)
    colors = np.zeros((7, 6, 5), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    colors["G"] = np.abs(VOLUME) % 251
    path.write_bytes(nifti(colors))
    result = read(FORMAT, path, channels=("c",), channel="G")
    assert np.array_equal(result.parts[0].pixels[:, 0], ours(colors["G"]))
    with pytest.raises(UnsupportedError, match=r"wants 2 channel.*has 3"):
        read(FORMAT, path, channels=("a", "b"))


def test_scale_factors_are_applied(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(VOLUME, slope=(0.37, -11.5)))
    expected = load(path.read_bytes()).get_fdata()
    assert not np.array_equal(expected, VOLUME)
    threshold = np.float32(np.median(expected))
    done = segment(FORMAT, path, float(threshold))
    assert done.result.parts[0].pixels.dtype == np.float32
    assert np.array_equal(done.result.parts[0].pixels[:, 0], ours(expected).astype(np.float32))
    assert np.array_equal(np.asarray(load(done.path.read_bytes()).dataobj), expected.astype(np.float32) > threshold)
    path.write_bytes(nifti(VOLUME.astype(np.int32), slope=(0.37, -11.5)))
    assert read(FORMAT, path).parts[0].pixels.dtype == np.float64


def test_sform_counts_where_qform_disagrees(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, OBLIQUE)
    image.set_sform(OBLIQUE, 2)
    image.set_qform(np.diag([1.0, 1, 1, 1]), 1)
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(image.to_bytes()))
    result = read(FORMAT, path)
    assert "sform" in result.warnings[0]
    assert_lies_as(result.parts[0].geometry, OBLIQUE)
    with pytest.raises(UnsupportedError, match="--strict"):
        read(FORMAT, path, strict=True)
    image.set_sform(OBLIQUE, 0)
    path.write_bytes(bytes(image.to_bytes()))
    assert read(FORMAT, path).parts[0].geometry.orientation == "RAS"


def test_without_a_form_no_position_is_invented(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(VOLUME, sform_code=0, qform_code=0, pixdim=[1, 500, 600, 700, 0, 0, 0, 0], xyzt_units=3))
    assert read(FORMAT, path).parts[0].geometry == Geometry(
        spacing=(600 * 0.001, 500 * 0.001), slice_spacing=700 * 0.001
    )
    assert segment(FORMAT, path, 0).path.exists()


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_units_of_length(code: int, factor: float, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(VOLUME, np.diag([2.0, 3, 4, 1]), xyzt_units=code))
    geometry = read(FORMAT, path).parts[0].geometry
    assert geometry.spacing == pytest.approx((3 * factor, 2 * factor))
    assert geometry.slice_spacing == pytest.approx(4 * factor)


@pytest.mark.parametrize("shape", [(7,), (7, 6), (7, 6, 1), (7, 6, 5, 1)])
def test_other_numbers_of_axes_come_back(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.resize(VOLUME, shape).astype(np.int16)
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(values))
    done = segment(FORMAT, path, 0)
    assert np.array_equal(np.asarray(load(done.path.read_bytes()).dataobj), values > 0)


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    whole = nifti(VOLUME)
    cases: list[tuple[bytes, type[Exception], str]] = [
        (nifti(VOLUME.astype(np.complex64)), UnsupportedError, "complex"),
        (whole[:344] + b"ni1\0" + whole[348:], UnsupportedError, "pair"),
        (whole[:-1], UnreadableError, "cut off"),
        (gzip.compress(whole)[:-9], UnreadableError, "too early"),
        (gzip.compress(whole)[:-6] + b"\0" * 6, UnreadableError, "checksum|damaged"),
        (whole[:200], UnreadableError, "header"),
    ]
    for data, kind, words in cases:
        path.write_bytes(data)
        with pytest.raises(kind, match=words):
            read(FORMAT, path)
    path.write_bytes(whole)
    assert read(FORMAT, path, max_pixels=VOLUME.size).parts
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        read(FORMAT, path, max_pixels=VOLUME.size - 1)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as stream:
        stream.write(nifti(VOLUME))
        for _ in range(64):
            stream.write(b"\0" * 2**20)
    path.write_bytes(out.getvalue())
    with pytest.raises(UnreadableError, match="more data than its header states"):
        read(FORMAT, path)


def test_the_checksum_of_a_gzipped_volume(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.nii.gz", gzip.compress(nifti(VOLUME), compresslevel=1)
    path.write_bytes(whole)
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[:, 0], ours(VOLUME))
    for damaged in (whole[:-8] + bytes(4) + whole[-4:], whole[:-4], whole[:-100]):
        path.write_bytes(damaged)
        for attempt in (lambda: read(FORMAT, path), lambda: FORMAT.read_labels(path)):
            with pytest.raises(UnreadableError, match=r"checksum|too early"):
                attempt()


def test_label_volumes_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    labels = np.abs(VOLUME).astype(np.float32)
    path.write_bytes(nifti(labels))
    assert np.array_equal(FORMAT.read_labels(path)[0].pixels, ours(labels))
    path.write_bytes(nifti(labels + 0.5))
    with pytest.raises(UnsupportedError, match="fractions"):
        FORMAT.read_labels(path)


def test_equal_masks_are_equal_files_and_names(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(VOLUME)))
    assert segment(FORMAT, path, 0).path.read_bytes() == segment(FORMAT, path, 0).path.read_bytes()
    assert [FORMAT.mask_name(n) for n in ("a.nii", "a.NII.GZ", "a.dat")] == ["a.nii", "a.NII.GZ", "a.dat.nii.gz"]


def test_fuzz(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    seeds = [nifti(VOLUME), gzip.compress(nifti(VOLUME)), nifti(VOLUME, kind=nibabel.Nifti2Image, order=">")]
    found = {survives(FORMAT, mutate(seeds[i % 3], rng), tmp_path) for i in range(300)}
    assert {"read", "UnreadableError", "UnsupportedError"} <= found
