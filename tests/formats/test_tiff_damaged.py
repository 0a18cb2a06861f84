"""Damage that tifffile and imagecodecs pass over: pages that vanish, strips of a wrong length, JPEG data that warn."""

from __future__ import annotations

import io
import struct
from contextlib import closing
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from plain_files import read, scene

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.tiff import FORMAT


def pages(count: int, side: int = 8) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for number in range(count):
            plane = np.full((side, side), number % 251, np.uint8)
            writer.write(plane, metadata=None, photometric="minisblack", software=False)
    return out.getvalue()


def test_more_pages_than_the_bytes_pay_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(pages(2001))
    with pytest.raises(UnsupportedError, match=r"2,001 slices in [\d,]+ bytes, the limit for so few bytes is 2,000"):
        read(FORMAT, path)
    assert FORMAT.describe(path).shape == (2001, 8, 8)
    path.write_bytes(pages(2000))
    assert read(FORMAT, path).parts[0].shape[0] == 2000


def directories(data: bytes) -> list[int]:
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        return [page.offset for page in tif.pages]


@pytest.mark.parametrize("target", ["beyond", "itself", "nonsense"])
def test_a_chain_of_pages_that_breaks_off_loses_none_of_them_silently(target: str, tmp_path: Path) -> None:
    """tifffile only logs it, and hands over the pages before the break."""
    data = pages(5)
    second, third = directories(data)[1:3]
    link = data.index(struct.pack("<I", third), second)
    offset = {"beyond": 10**6, "itself": second, "nonsense": 9}[target]
    path = tmp_path / "a.tif"
    path.write_bytes(data[:link] + struct.pack("<I", offset) + data[link + 4 :])
    for attempt in (FORMAT.describe, lambda file: read(FORMAT, file), FORMAT.read_labels):
        with pytest.raises(UnreadableError, match="directory of pages"):
            attempt(path)


def read_all(path: Path, hold: int | None) -> None:
    """Whole, or in bands if it has more pixels than ``hold``."""
    for part in read(FORMAT, path, hold_pixels=hold).bands:
        with closing(part):
            part.read(0, 0, part.shape[2])


LENGTHS = {"lzw": imagecodecs.lzw_encode, "packbits": imagecodecs.packbits_encode}


@pytest.mark.parametrize("compression", LENGTHS)
@pytest.mark.parametrize("banded", [False, True])
def test_a_strip_that_unpacks_to_more_than_it_must_is_damaged(compression: str, banded: bool, tmp_path: Path) -> None:
    plane = scene(64, 40)
    path = tmp_path / "a.tif"
    hold = 100 if banded else None

    def write(last: bytes) -> None:
        strips = [plane[row : row + 16].tobytes() for row in (0, 16, 32)] + [last]
        packed = iter([bytes(LENGTHS[compression](strip)) for strip in strips])
        options = {"shape": plane.shape, "dtype": np.uint8, "compression": compression, "rowsperstrip": 16}
        tifffile.imwrite(path, packed, **options, metadata=None, photometric="minisblack")

    write(plane[48:].tobytes())
    read_all(path, hold)
    write(plane[48:].tobytes() + b"more")
    with pytest.raises(UnreadableError, match="damaged"):
        read_all(path, hold)


def test_fax_data_in_thousands_of_strips_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((5001, 64), bool), rowsperstrip=1, photometric="miniswhite")
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags["Compression"].valueoffset
    data = path.read_bytes()
    path.write_bytes(data[:at] + struct.pack("<H", 4) + data[at + 2 :])
    with pytest.raises(UnsupportedError, match="5,001 strips, the limit is 5,000"):
        read(FORMAT, path)


@pytest.mark.parametrize("banded", [False, True])
def test_damaged_jpeg_data_are_noticed(banded: bool, tmp_path: Path) -> None:
    """imagecodecs reads most of these without a word."""
    out = io.BytesIO()
    rgb = np.stack([scene(128, 96, seed=seed) for seed in range(3)], axis=-1)
    tifffile.imwrite(out, rgb, compression="jpeg", tile=(32, 32), photometric="rgb", metadata=None)
    data = out.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        at, count = tif.pages[0].dataoffsets[5], tif.pages[0].databytecounts[5]
    path = tmp_path / "a.tif"
    hold = 100 if banded else None
    passed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        start = at + count // 2 + int(rng.integers(0, count // 4))
        path.write_bytes(data[:start] + rng.integers(0, 255, 100, np.uint8).tobytes() + data[start + 100 :])
        try:
            read_all(path, hold)
            passed += 1
        except UnreadableError:
            pass
    assert passed <= 3


def test_tiles_that_all_lie_in_one_place_make_no_endless_image(tmp_path: Path) -> None:
    """A thousand million pixels in 4 kB: read in bands it would have had no limit but time."""
    path = tmp_path / "a.tif"
    side, across = 4096, 8
    tile = bytes(imagecodecs.zlib_encode(bytes(side * side)))
    options = {"shape": (side * across, side * across), "dtype": np.uint8, "tile": (side, side)}
    tifffile.imwrite(path, iter([tile] * across**2), **options, compression="zlib", photometric="minisblack")
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        tags, first = tif.pages[0].tags, tif.pages[0].dataoffsets[0]
        at, end = tags["TileOffsets"].valueoffset, tif.pages[0].dataoffsets[1]
    shared = data[:at] + struct.pack("<I", first) * across**2 + data[at + 4 * across**2 :]
    path.write_bytes(shared[:end])
    with pytest.raises(UnsupportedError, match="1,073,741,824 pixels in"):
        read(FORMAT, path, hold_pixels=2**26)


@pytest.mark.parametrize("hold", [None, 100])
def test_jpeg_2000_of_which_openjpeg_warns_is_refused(hold: int | None, tmp_path: Path) -> None:
    """Three changed bytes; decoded without a word it is an image with wrong pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="jpeg2000", compressionargs={"reversible": True})
    read_all(path, hold)
    with tifffile.TiffFile(path) as tif:
        start, size = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    for quarter in (1, 2, 3):
        data[start + size * quarter // 4] ^= 0x55
    path.write_bytes(data)
    assert not np.array_equal(tifffile.imread(path), pixels)
    with pytest.raises(UnreadableError, match="damaged"):
        read_all(path, hold)
