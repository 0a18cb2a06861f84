"""A TIFF larger than may be held stays in its file: whatever bands are read, they are rows of the oracle's image."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from plain_files import read, scene

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.interface import OpenBands
from segcli.formats.tiff import FORMAT

GREY = scene(83, 70)
GREY16 = scene(83, 70, top=65535, dtype=np.uint16)
FLOAT = scene(83, 70, top=1, dtype=np.float32)
RGB = np.stack([scene(83, 70, seed=s) for s in range(3)], axis=-1)
PLANAR = np.moveaxis(RGB, -1, 0)
STACK = np.stack([scene(83, 70, seed=s) for s in range(4)])


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def pillow_fax() -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(GREY > 127).save(out, "TIFF", compression="group4", tiffinfo={278: 9})
    return out.getvalue()


def sparse() -> tuple[bytes, NDArray[Any]]:
    tiles = [GREY[:32, :32], None, GREY[32:64, :32], GREY[32:64, 32:64]]
    expected = GREY[:64, :64].copy()
    expected[:32, 32:] = 0
    return tiff(iter(tiles), shape=(64, 64), dtype=np.uint8, tile=(32, 32), metadata=None), expected  # type: ignore[arg-type]


VARIANTS: dict[str, tuple[bytes, NDArray[Any]]] = {
    "one strip, not compressed": (tiff(GREY16), GREY16),
    "one strip, other byte order": (tiff(GREY16, byteorder=">"), GREY16),
    "rgb in one strip": (tiff(RGB, photometric="rgb"), RGB),
    "planar rgb in one strip each": (tiff(PLANAR, photometric="rgb", planarconfig="separate"), RGB),
    "strips": (tiff(GREY, rowsperstrip=5), GREY),
    "tiles": (tiff(GREY, tile=(16, 32)), GREY),
    "tiles, big endian, predictor 2": (
        tiff(GREY16, tile=(32, 16), byteorder=">", compression="zlib", predictor=2, bigtiff=True),
        GREY16,
    ),
    "predictor 3": (tiff(FLOAT, rowsperstrip=7, compression="zlib", predictor=3), FLOAT),
    "planar tiles": (
        tiff(PLANAR, photometric="rgb", planarconfig="separate", tile=(16, 16), compression="lzw"),
        RGB,
    ),
    **{
        f"{name}, strips": (tiff(GREY, compression=name, rowsperstrip=6), GREY)
        for name in ("lzw", "zlib", "packbits", "zstd", "lzma", "lerc", "jpeg2000")
    },
    **{
        f"{name}, tiles": (tiff(GREY, compression=name, tile=(32, 32)), GREY)
        for name in ("lzw", "zlib", "packbits", "zstd", "lzma", "lerc", "jpeg2000")
    },
    "webp": (
        tiff(RGB, photometric="rgb", compression="webp", compressionargs={"lossless": True}, tile=(32, 48)),
        RGB,
    ),
    "1 bit": (tiff(GREY > 127, photometric="minisblack", rowsperstrip=3), (GREY > 127).astype(np.uint8)),
    "white is 0": (tiff(GREY, photometric="miniswhite", tile=(16, 16), compression="zlib"), 255 - GREY),
    "opaque alpha": (
        tiff(np.dstack([RGB, np.full_like(GREY, 255)]), photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16)),
        RGB,
    ),
    "not all tiles stored": sparse(),
    "pages": (tiff(STACK, photometric="minisblack", tile=(16, 16)), STACK),
    "pages of strips": (tiff(STACK, photometric="minisblack", rowsperstrip=8, compression="zlib"), STACK),
}
for _photometric, _pixels in (("minisblack", GREY), ("rgb", RGB), ("ycbcr", RGB)):
    for _cut in ({"tile": (32, 32)}, {"rowsperstrip": 16}):
        _data = tiff(_pixels, compression="jpeg", photometric=_photometric, **_cut)
        VARIANTS[f"jpeg {_photometric} {next(iter(_cut))}"] = (_data, tifffile.imread(io.BytesIO(_data)))


LEFT_OPEN: list[OpenBands] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while LEFT_OPEN:
        LEFT_OPEN.pop().close()


def bands_in(path: Path, **request: Any) -> tuple[OpenBands, ...]:
    bands = read(FORMAT, path, **{"hold_pixels": 100, **request}).bands
    LEFT_OPEN.extend(bands)
    return bands


def bands_of(data: bytes, folder: Path, **request: Any) -> tuple[OpenBands, ...]:
    (folder / "a.tif").write_bytes(data)
    return bands_in(folder / "a.tif", **request)


def assert_is(bands: OpenBands, expected: NDArray[Any]) -> None:
    """Any rows, overlapping or not, up and down, are those of ``expected`` ``[slice, channel, row, column]``."""
    assert bands.shape == expected.shape
    assert bands.dtype == expected.dtype
    rng = np.random.default_rng(0)
    for slice_index in range(len(expected)):
        start, rows = 0, expected.shape[2]
        while start < rows:
            stop = min(rows, start + int(rng.integers(1, 30)))
            found = bands.read(slice_index, start, stop)
            assert found.dtype == expected.dtype and found.dtype.isnative
            assert np.array_equal(found, expected[slice_index, :, start:stop])
            start = max(start + 1, stop - int(rng.integers(0, 9)))
    assert np.array_equal(bands.read(0, 0, 3), expected[0, :, :3])


@pytest.mark.parametrize("name", VARIANTS)
def test_bands_are_the_rows_of_the_image(name: str, tmp_path: Path) -> None:
    data, expected = VARIANTS[name]
    expected = np.moveaxis(expected, -1, -3) if expected.shape[-1] == 3 else expected[..., np.newaxis, :, :]
    [part] = bands_of(data, tmp_path)
    assert_is(part, expected if expected.ndim == 4 else expected[np.newaxis])


def test_grey_from_rgb_and_one_channel_of_several(tmp_path: Path) -> None:
    data = tiff(RGB, photometric="rgb", tile=(16, 16), compression="zlib")
    luma = (RGB.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[np.newaxis, np.newaxis]
    [part] = bands_of(data, tmp_path, channels=("grey",))
    assert part.dtype == np.float32
    assert np.allclose(part.read(0, 5, 40), luma[0, :, 5:40], atol=1e-4)
    [part] = bands_of(data, tmp_path, channel="G")
    assert_is(part, RGB[np.newaxis, np.newaxis, ..., 1])


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    colormap = np.random.default_rng(1).integers(0, 65536, (3, 256)).astype(np.uint16)
    [part] = bands_of(tiff(GREY, photometric="palette", colormap=colormap, tile=(16, 16)), tmp_path)
    assert_is(part, colormap[:, GREY][np.newaxis])


def test_every_page_has_its_own_palette(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    colormaps = np.random.default_rng(1).integers(0, 65536, (2, 3, 256)).astype(np.uint16)
    with tifffile.TiffWriter(path) as writer:
        for colormap in colormaps:
            writer.write(GREY, photometric="palette", colormap=colormap, rowsperstrip=9, metadata=None)
    [part] = bands_in(path)
    assert_is(part, np.stack([colormap[:, GREY] for colormap in colormaps]))


@pytest.mark.parametrize("options", [{"tile": (16, 32), "compression": "zlib"}, {}, {"rowsperstrip": 4}])
@pytest.mark.parametrize("axes", ["TZCYX", "CZTYX", "ZCTYX"])
def test_ome_letters_say_which_plane_is_what(axes: str, options: dict[str, Any], tmp_path: Path) -> None:
    sizes = {"T": 2, "C": 3, "Z": 2}
    outer = tuple(sizes[axis] for axis in axes[:3])
    pixels = np.random.default_rng(2).integers(0, 65536, (*outer, 40, 33)).astype(np.uint16)
    metadata = {"axes": axes, "PhysicalSizeX": 2.0, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 3.0,
                "PhysicalSizeYUnit": "mm", "Channel": {"Name": ["a", "b", "c"]}}  # fmt: skip
    data = tiff(pixels, ome=True, metadata=metadata, photometric="minisblack", **options)
    expected = pixels.transpose([axes.index(axis) for axis in "TZCYX"])
    parts = bands_of(data, tmp_path)
    assert len(parts) == 2
    for part, image in zip(parts, expected, strict=True):
        assert_is(part, image)
        assert part.geometry.spacing == (3.0, 2.0)
    [first, _] = bands_of(data, tmp_path, channel="b")
    assert_is(first, expected[0][:, 1:2])


def test_an_imagej_stack_of_one_directory(tmp_path: Path) -> None:
    hyper = np.random.default_rng(3).integers(0, 256, (3, 2, 40, 33)).astype(np.uint8)
    [part] = bands_of(tiff(hyper, imagej=True, metadata={"axes": "ZCYX"}), tmp_path)
    assert_is(part, hyper)


def test_of_a_pyramid_the_full_resolution_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB, subifds=1, tile=(32, 32), photometric="rgb", compression="jpeg")
        writer.write(RGB[::2, ::2], subfiletype=1, tile=(32, 32), photometric="rgb", compression="jpeg")
    [part] = bands_in(path)
    assert_is(part, np.moveaxis(tifffile.imread(path), -1, 0)[np.newaxis])


def test_pages_of_another_size_are_parts_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for pixels in (*STACK, GREY16[:50]):
            writer.write(pixels, tile=(16, 16), compression="zlib", metadata=None, photometric="minisblack")
    first, second = bands_in(path)
    assert_is(second, GREY16[np.newaxis, np.newaxis, :50])
    assert_is(first, STACK[:, np.newaxis])


def test_small_images_are_held_and_large_ones_only_if_the_request_allows(tmp_path: Path) -> None:
    data = tiff(GREY, tile=(16, 16))
    assert not bands_of(data, tmp_path, hold_pixels=GREY.size)
    assert bands_of(data, tmp_path, hold_pixels=GREY.size - 1)
    assert bands_of(data, tmp_path, max_pixels=GREY.size - 1), "what is not held may be larger"
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        bands_of(data, tmp_path, hold_pixels=None, max_pixels=GREY.size - 1)


@pytest.mark.parametrize("large", [True, False], ids=["tags first", "bytes first"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(GREY, compression="zlib", rowsperstrip=83), "packed in one piece"),
        (tiff(GREY, tile=(16, 16), extratags=[(274, 3, 1, 6, True)]), "stored turned"),
        (tiff(STACK, photometric="minisblack", volumetric=True, tile=(4, 16, 16)), "pages are volumes"),
        (pillow_fax(), "fax compression"),
    ],
)
def test_the_exceptions_are_held_or_refused_by_name(
    data: bytes, words: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr("segcli.formats.tiff.codec.LARGE_FILE", 0)
    assert not bands_of(data, tmp_path), "within --max-pixels it is read whole"
    with pytest.raises(UnsupportedError, match=f"raise it with --max-pixels.*{words}.*have it read in bands") as told:
        bands_of(data, tmp_path, max_pixels=5000)
    assert len(str(told.value)) < 200


def test_a_strip_that_is_too_much_at_once_is_refused(tmp_path: Path) -> None:
    data = tiff(GREY, compression="zlib", rowsperstrip=42)
    assert bands_of(data, tmp_path, max_pixels=42 * 70)
    with pytest.raises(UnsupportedError, match="one piece"):
        bands_of(data, tmp_path, max_pixels=42 * 70 - 1)


def test_damage_shows_in_the_band_that_meets_it(tmp_path: Path) -> None:
    data = bytearray(tiff(GREY, compression="zlib", rowsperstrip=20, metadata=None))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tif:
        offset = tif.pages[0].dataoffsets[3]
    data[offset : offset + 9] = b"\xff" * 9
    [part] = bands_of(bytes(data), tmp_path)
    assert np.array_equal(part.read(0, 0, 60)[0], GREY[:60])
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        part.read(0, 50, 70)
    with pytest.raises(UnreadableError):
        bands_of(tiff(GREY, tile=(16, 16), compression="zlib")[:-50], tmp_path)


def test_transparency_is_refused_where_it_is(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[60, 3] = 7
    data = tiff(np.dstack([RGB, alpha]), photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16))
    [part] = bands_of(data, tmp_path)
    assert np.array_equal(part.read(0, 0, 60)[0], RGB[:60, :, 0])
    with pytest.raises(UnsupportedError, match="transparent"):
        part.read(0, 50, 64)


@pytest.mark.parametrize("large", [True, False], ids=["tags first", "bytes first"])
def test_an_image_with_pixels_that_are_no_number_is_held(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr("segcli.formats.tiff.codec.LARGE_FILE", 0)
    pixels = FLOAT.copy()
    pixels[60, 3] = np.nan
    data = tiff(pixels, tile=(16, 16))
    assert not bands_of(data, tmp_path)
    [part] = read(FORMAT, tmp_path / "a.tif", hold_pixels=100).parts
    assert part.valid is not None and np.array_equal(part.valid[0], np.isfinite(pixels))
    with pytest.raises(UnsupportedError, match="no finite number: replace them"):
        bands_of(data, tmp_path, max_pixels=5000)


def test_no_strip_is_decoded_twice_for_overlapping_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [part] = bands_of(tiff(GREY, compression="zlib", rowsperstrip=8), tmp_path)
    decoded: list[int] = []
    page = part._planes[0][0].page  # type: ignore[attr-defined]
    decode = page.decode

    def counted(data: bytes, segment: int, **options: Any) -> Any:
        decoded.append(segment)
        return decode(data, segment, **options)

    monkeypatch.setitem(page.__dict__, "decode", counted)
    for start in range(0, 83, 12):
        part.read(0, start, min(start + 20, 83))
    assert sorted(decoded) == list(range(2, 11)), "the first two were decoded when it was opened"
