"""TIFFs whose numbers are no intensities, or not those of the full image: refused in words that say what they are."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from plain_files import read, scene

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.table import recognise
from segcli.formats.tiff import FORMAT

GREY = scene()
RGB = np.stack([scene(seed=s) for s in range(3)], axis=-1)
FLOAT = scene(top=1, dtype=np.float32)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def retagged(data: bytes, tag: int, old: int, new: int) -> bytes:
    """Another value of a SHORT tag."""
    entry = struct.pack("<HHIH", tag, 3, 1, old)
    assert data.count(entry) == 1
    return data.replace(entry, struct.pack("<HHIH", tag, 3, 1, new))


def photometric(value: int, pixels: NDArray[Any] = RGB) -> bytes:
    old = 2 if pixels.ndim == 3 else 1
    return retagged(tiff(pixels, photometric=old, metadata=None), 262, old, value)


def compressed(number: int) -> bytes:
    return retagged(tiff(GREY, compression="zlib", metadata=None), 259, 8, number)


def ycbcr_in_pairs() -> bytes:
    """The tag alone says that two columns share their Cb and Cr."""
    data = tiff(RGB, photometric="ycbcr", metadata=None)
    entry = struct.pack("<HHIHH", 530, 3, 2, 1, 1)
    assert data.count(entry) == 1
    return data.replace(entry, struct.pack("<HHIHH", 530, 3, 2, 2, 1))


def with_tag(number: int, value: int | None, **options: Any) -> bytes:
    """A tag of the only directory set to a SHORT, or taken away; the directory is written anew at the end."""
    data = tiff(options.pop("pixels", GREY), metadata=None, byteorder="<", **options)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = {data[at : at + 2]: data[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)}
    tag = struct.pack("<H", number)
    entries.pop(tag, None)
    if value is not None:
        entries[tag] = struct.pack("<HHIHH", number, 3, 1, value, 0)
    data += b"\0" * (len(data) % 2)
    entries_in_order = sorted(entries.values(), key=lambda entry: struct.unpack("<H", entry[:2]))
    directory = struct.pack("<H", len(entries)) + b"".join(entries_in_order) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (with_tag(317, 2), "predictor that its compression does not have"),
        (with_tag(317, 2, compression="packbits"), "predictor that its compression does not have"),
        (with_tag(262, None), "whether 0 is black or white"),
        (with_tag(256, 30), "another length"),  # columns
        (with_tag(256, 30, compression="lzma"), "another length"),
        (with_tag(257, 20), "another length"),  # rows
        (with_tag(277, None, pixels=RGB, photometric="rgb"), "another length"),  # samples: 1 where none are stated
        (with_tag(256, 30, tile=(16, 16)), "more tiles"),
    ],
)
def test_headers_that_decoders_read_differently_are_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises((UnsupportedError, UnreadableError), match=words):
        read(FORMAT, path)


def test_the_predictor_of_a_compression_that_has_one_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for compression in ("lzw", "zlib", "lzma", "zstd"):
        path.write_bytes(tiff(GREY, compression=compression, predictor=True, metadata=None))
        assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], GREY)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(GREY.astype(np.complex64)), "complex"),
        (tiff(np.dstack([RGB, GREY]), photometric="separated"), "CMYK"),
        (tiff(np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unassalpha"]), "transparent"),
        (tiff(np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["assocalpha"]), "transparent"),
        (tiff(FLOAT, photometric="miniswhite"), "MINISWHITE"),
        (tiff(RGB, photometric="cielab"), r"L\*a\*b"),
        (photometric(9), r"L\*a\*b"),
        (photometric(32803, GREY), "camera sensor"),
        (photometric(34892), "raw camera"),
        (photometric(32845), "LogLuv"),
        (photometric(4, GREY), "transparency mask"),
        (photometric(99), "unknown kind"),
        (ycbcr_in_pairs(), "fewer samples of Cb"),
        (compressed(6), "old-style JPEG"),
        (compressed(33003), "Aperio 33003"),
        (compressed(34661), "number 34661"),
    ],
)
def test_what_is_no_intensity_is_refused_by_name(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises(UnsupportedError, match=words):
        read(FORMAT, path)


@pytest.mark.parametrize(
    ("calibration", "refused"), [((-32768, 1), True), ((0, -1), True), ((0, 1), False), ((), False)]
)
def test_values_that_imagej_calibrates_are_no_intensities(
    calibration: tuple[int, ...], refused: bool, tmp_path: Path
) -> None:
    """It saves a signed image with 32768 added, and says so in the description alone."""
    path = tmp_path / "a.tif"
    stated = {"cf": 0, **dict(zip(("c0", "c1"), map(float, calibration), strict=False))} if calibration else {}
    path.write_bytes(tiff(GREY.astype(np.uint16), imagej=True, metadata=stated))
    if not refused:
        assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], GREY)
        return
    for attempt in (lambda: read(FORMAT, path), lambda: FORMAT.describe(path)):
        with pytest.raises(UnsupportedError, match="calibration of its values"):
            attempt()


def test_four_samples_without_a_meaning_are_neither_rgb_nor_alpha(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unspecified"]))
    with pytest.raises(UnsupportedError, match=r"wants 1 channel.*has 4"):
        read(FORMAT, path, channels=("grey",))


def test_a_packed_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.gz"
    path.write_bytes(gzip.compress(tiff(GREY)))
    assert recognise(path.read_bytes()) == "tiff"
    for attempt in (FORMAT.describe, FORMAT.read_labels, lambda path: read(FORMAT, path)):
        with pytest.raises(UnsupportedError, match="gzip: unpack"):
            attempt(path)


@pytest.mark.parametrize("marked", [True, False])
def test_a_preview_is_not_taken_for_the_image_behind_it(marked: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=int(marked), subifds=1, metadata=None)
        writer.write(GREY, metadata=None)
    with pytest.raises(UnsupportedError, match="preview"):
        read(FORMAT, path)


def slide(path: Path, *images: NDArray[Any]) -> Path:
    """A Leica SCN file, whose description lists images in any order."""
    listed = "".join(
        f'<image name="i{ifd}"><pixels><dimension r="0" ifd="{ifd}" /></pixels></image>' for ifd in range(len(images))
    )
    scn = "http://www.leica-microsystems.com/scn/2010/10/01"
    text = f'<scn xmlns="{scn}"><collection>{listed}</collection></scn>'
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number, image in enumerate(images):
            writer.write(image, photometric="rgb", description="" if number else text, metadata=None)
    return path


def test_the_view_of_a_whole_slide_is_not_taken_for_the_scan_behind_it(tmp_path: Path) -> None:
    path = slide(tmp_path / "a.scn", RGB[:10, :10], RGB)
    (part,) = read(FORMAT, path).parts
    assert np.array_equal(np.moveaxis(part.pixels[0], 0, -1), RGB)
    with pytest.raises(UnsupportedError, match="several scans"):
        read(FORMAT, slide(tmp_path / "b.scn", RGB[:10, :10], RGB, RGB[:30]))


def test_tiles_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bif"
    xmp = b"<iScan></iScan>"
    options: dict[str, Any] = {"software": "ScanOutputManager 1.1", "extratags": [(700, 1, len(xmp), xmp, True)]}
    tifffile.imwrite(path, RGB, photometric="rgb", description="level=0", metadata=None, **options)
    with pytest.raises(UnsupportedError, match="not stitched"):
        read(FORMAT, path)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_fax_data_that_only_one_decoder_understands_is_refused(compression: str, tmp_path: Path) -> None:
    """Neither decoder says a word about these; each has a picture of its own."""
    out = io.BytesIO()
    Pillow.fromarray(GREY > 127).save(out, "TIFF", compression=compression)
    data = bytearray(out.getvalue())
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    sound = read(FORMAT, path).parts[0].pixels[0, 0]
    assert np.array_equal(sound, GREY > 127)
    with tifffile.TiffFile(path) as tif:
        start, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    data[start + count // 2] ^= 0xFF
    path.write_bytes(data)
    assert (tifffile.imread(path) != sound).any()
    for attempt in (FORMAT.read_labels, lambda path: read(FORMAT, path)):
        with pytest.raises(UnreadableError, match="fax data"):
            attempt(path)
