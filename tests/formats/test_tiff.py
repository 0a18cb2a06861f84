"""TIFF: a table of variants, each written by tifffile (or Pillow), thresholded, and compared with that library."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from plain_files import mutate, read, scene, segment, survives

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.tiff import FORMAT

GREY = scene()
GREY16 = scene(top=65535, dtype=np.uint16)
RGB = np.stack([scene(seed=s) for s in range(3)], axis=-1)
STACK = np.stack([scene(seed=s) for s in range(4)])
FLOAT = scene(top=1, dtype=np.float32)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def fax(compression: str) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(GREY > 127).save(out, "TIFF", compression=compression)
    return out.getvalue()


def integers(bits: int, signed: bool) -> NDArray[Any]:
    top = 2.0 ** (bits - signed) * 0.99
    return (scene(top=1, dtype=np.float64) * top - (top / 2 if signed else 0)).astype(
        f"{'i' if signed else 'u'}{bits // 8}"
    )


VARIANTS: dict[str, tuple[bytes, NDArray[Any]]] = {
    "classic little": (tiff(GREY, byteorder="<"), GREY),
    "classic big": (tiff(GREY16, byteorder=">"), GREY16),
    "bigtiff little": (tiff(GREY16, bigtiff=True), GREY16),
    "bigtiff big": (tiff(GREY16, bigtiff=True, byteorder=">"), GREY16),
    "strips": (tiff(GREY, rowsperstrip=5), GREY),
    "tiles": (tiff(GREY, tile=(16, 32)), GREY),
    "tiles big endian": (tiff(GREY16, tile=(16, 16), byteorder=">", compression="zlib", predictor=True), GREY16),
    "rgb chunky": (tiff(RGB, photometric="rgb"), RGB),
    "rgb planar": (tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"), RGB),
    "rgb planar tiles": (
        tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate", tile=(16, 16)),
        RGB,
    ),
    "rgb big endian 16": (
        tiff(RGB.astype(np.uint16) * 257, photometric="rgb", byteorder=">"),
        RGB.astype(np.uint16) * 257,
    ),
    "opaque alpha": (
        tiff(np.dstack([RGB, np.full_like(GREY, 255)]), photometric="rgb", extrasamples=["unassalpha"]),
        RGB,
    ),
    **{f"uint{b}": (tiff(integers(b, False)), integers(b, False)) for b in (8, 16, 32, 64)},
    **{f"int{b}": (tiff(integers(b, True)), integers(b, True)) for b in (8, 16, 32, 64)},
    **{f"float{b}": (tiff(scene(top=9, dtype=f"f{b // 8}")), scene(top=9, dtype=f"f{b // 8}")) for b in (16, 32, 64)},
    "1 bit": (tiff(GREY > 127, photometric="minisblack"), (GREY > 127).astype(np.uint8)),
    "miniswhite": (tiff(GREY, photometric="miniswhite"), 255 - GREY),
    "miniswhite 16": (tiff(GREY16, photometric="miniswhite"), 65535 - GREY16),
    "predictor 2": (tiff(GREY16, compression="lzw", predictor=2), GREY16),
    "predictor 3": (tiff(FLOAT, compression="zlib", predictor=3), FLOAT),
    **{c: (tiff(GREY, compression=c), GREY) for c in ("lzw", "zlib", "packbits", "zstd", "lzma", "lerc", "jpeg2000")},
    "deflate 32946": (tiff(GREY, compression=32946), GREY),
    "webp lossless": (tiff(RGB, photometric="rgb", compression="webp", compressionargs={"lossless": True}), RGB),
    "jpeg2000 16": (tiff(GREY16, compression="jpeg2000"), GREY16),
    "lerc float": (tiff(FLOAT, compression="lerc"), FLOAT),
    **{name: (fax(name), (GREY > 127).astype(np.uint8)) for name in ("group3", "group4", "tiff_ccitt", "packbits")},
    "pages": (tiff(STACK, photometric="minisblack"), STACK),
    "pages rgb": (tiff(np.stack([RGB, RGB[::-1]]), photometric="rgb"), np.stack([RGB, RGB[::-1]])),
    "volumetric": (tiff(STACK, photometric="minisblack", volumetric=True, tile=(4, 16, 16)), STACK),
}
for _kind in ("jpeg",):
    for _name, _pixels, _photometric in (("grey", GREY, "minisblack"), ("rgb", RGB, "rgb"), ("ycbcr", RGB, "ycbcr")):
        _data = tiff(_pixels, compression=_kind, photometric=_photometric)
        VARIANTS[f"{_kind} {_name}"] = (_data, tifffile.imread(io.BytesIO(_data)))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_thresholded_as_its_oracle(name: str, tmp_path: Path) -> None:
    data, expected = VARIANTS[name]
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    if expected.shape[-1] != 3:
        expected = expected[..., None]
    expected = expected if expected.ndim == 4 else expected[None]
    threshold = np.median(expected[..., 0])
    done = segment(FORMAT, path, threshold)
    (part,) = done.result.parts
    assert part.pixels.dtype == expected.dtype
    assert part.pixels.dtype.isnative
    assert np.array_equal(np.moveaxis(part.pixels, 1, -1), expected)
    assert FORMAT.describe(path).shape == expected.shape[:3]
    above = expected[..., 0] > threshold
    assert np.array_equal(tifffile.imread(done.path).reshape(above.shape), above)
    with tifffile.TiffFile(done.path) as mask:
        assert len(mask.pages) == len(expected)
        assert all(page.is_tiled and page.compression == 8 and page.dtype == np.uint8 for page in mask.pages)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_as_a_viewer_shows_it(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY, extratags=[(274, 3, 1, orientation, True)], resolution=((7, 3), (5, 2))))
    with Pillow.open(io.BytesIO(path.read_bytes())) as image:  # by path Pillow 13 maps the file and forgets to turn
        image.load()
        expected = np.asarray(image)
    done = segment(FORMAT, path, 127)
    assert np.array_equal(done.result.parts[0].pixels[0, 0], expected)
    assert FORMAT.describe(path).shape == (1, *expected.shape)
    with Pillow.open(done.path) as mask:
        mask.load()
        assert np.array_equal(np.asarray(mask), expected > 127)
    with tifffile.TiffFile(done.path) as mask:
        tags = mask.pages[0].tags
        x, y = tags["XResolution"].value, tags["YResolution"].value
    assert (x, y) == (((7, 3), (5, 2)) if orientation < 5 else ((5, 2), (7, 3)))


def test_a_palette_becomes_its_colours_but_labels_stay_indices(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 65536, (3, 256), np.uint16)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY, photometric="palette", colormap=colors))
    done = segment(FORMAT, path, float(np.median(colors[0, GREY])))
    assert np.array_equal(done.result.parts[0].pixels[0], colors[:, GREY])
    assert np.array_equal(FORMAT.read_labels(path)[0].pixels[0], GREY)


def test_a_palette_with_an_opaque_alpha_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    colormap = np.random.default_rng(1).integers(0, 65536, (3, 256)).astype(np.uint16)
    for alpha, refused in ((255, False), (254, True)):
        pixels = np.dstack([GREY, np.full_like(GREY, alpha)])
        data = tiff(pixels, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"], metadata=None,
                    extratags=[(320, 3, 768, colormap.ravel(), True)])  # fmt: skip
        photometric = struct.pack("<HHIH", 262, 3, 1, 1)
        assert data.count(photometric) == 1
        path.write_bytes(data.replace(photometric, struct.pack("<HHIH", 262, 3, 1, 3)))
        if refused:
            with pytest.raises(UnsupportedError, match="transparent"):
                read(FORMAT, path)
        else:
            assert np.array_equal(read(FORMAT, path).parts[0].pixels[0], colormap[:, GREY])


def test_resolution_is_copied_and_never_a_spacing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY, resolution=((600, 7), (300, 11)), resolutionunit="CENTIMETER"))
    done = segment(FORMAT, path, 127)
    assert done.result.parts[0].geometry.spacing is None
    with tifffile.TiffFile(done.path) as mask:
        tags = mask.pages[0].tags
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((600, 7), (300, 11))
        assert tags["ResolutionUnit"].value == 3


def test_pages_of_another_size_are_parts_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for pixels in (GREY, GREY[::-1], GREY[:20], RGB, GREY):
            writer.write(pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None)
    done = segment(FORMAT, path, 127)
    assert [part.shape for part in done.result.parts] == [
        (2, 1, 37, 53),
        (1, 1, 20, 53),
        (1, 3, 37, 53),
        (1, 1, 37, 53),
    ]
    with tifffile.TiffFile(done.path) as mask:
        assert [page.shape for page in mask.pages] == [(37, 53)] * 2 + [(20, 53)] + [(37, 53)] * 2
        assert np.array_equal(mask.pages[3].asarray(), RGB[..., 0] > 127)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_packed_bits_stay_as_stored(bits: int, tmp_path: Path) -> None:
    values = scene(top=2**bits - 1, dtype=np.uint16)
    each = np.unpackbits(values.astype(">u2")[..., None].view(np.uint8), axis=-1)[..., 16 - bits :]
    data = np.packbits(each.reshape(len(values), -1), axis=1).tobytes()
    entries = ((256, 4, 53), (257, 4, 37), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1))
    entries += ((278, 4, 37), (279, 4, len(data)))
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + b"\0\0\0\0"
    path = tmp_path / "a.tif"
    path.write_bytes(head + data)
    assert len(head) == 122
    done = segment(FORMAT, path, float(np.median(values)))
    assert np.array_equal(done.result.parts[0].pixels[0, 0], values)


def test_ycbcr_without_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    image = Pillow.fromarray(RGB).convert("YCbCr")
    image.save(path, "TIFF")
    expected = np.asarray(image.convert("RGB")).astype(int)
    pixels = np.moveaxis(read(FORMAT, path).parts[0].pixels[0], 0, -1).astype(int)
    assert np.abs(pixels - expected).max() <= 1


def test_pixels_that_are_no_number_are_background(tmp_path: Path) -> None:
    pixels = FLOAT.copy()
    pixels[0, :5], pixels[1, 0] = np.nan, np.inf
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(pixels))
    done = segment(FORMAT, path, 0.5)
    assert "finite" in done.result.warnings[0]
    assert np.array_equal(done.masks[0].pixels[0], np.isfinite(pixels) & (pixels > 0.5))
    assert np.isfinite(done.result.parts[0].pixels).all()


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(STACK, photometric="minisblack"))
    assert read(FORMAT, path, max_pixels=STACK.size).parts
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        read(FORMAT, path, max_pixels=STACK.size - 1)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for data in (tiff(GREY), tiff(GREY, tile=(16, 16), compression="zlib")):
        path.write_bytes(data[:-50])
        with pytest.raises(UnreadableError):
            read(FORMAT, path)


def test_a_header_that_announces_more_rows_than_there_are_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for options in ({"tile": (16, 16)}, {"rowsperstrip": 5}):
        data = tiff(GREY, metadata=None, compression="zlib", **options)
        rows = struct.pack("<HHII", 257, 4, 1, 37)
        assert data.count(rows) == 1
        path.write_bytes(data.replace(rows, struct.pack("<HHII", 257, 4, 1, 100)))
        for attempt in (lambda: read(FORMAT, path), lambda: FORMAT.read_labels(path)):
            with pytest.raises(UnreadableError, match="announces"):
                attempt()


def test_an_arrangement_of_samples_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    data = tiff(RGB, photometric="rgb", tile=(16, 16), metadata=None)
    planar = struct.pack("<HHIH", 284, 3, 1, 1)
    assert data.count(planar) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(planar, struct.pack("<HHIH", 284, 3, 1, 7)))
    with pytest.raises(UnreadableError):
        read(FORMAT, tmp_path / "a.tif")


def test_bigtiff_where_four_gibibytes_are_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY))
    assert segment(FORMAT, path, 127).path.read_bytes()[:4] == b"II\x2a\0"
    monkeypatch.setattr("segcli.formats.tiff.write.BIG", GREY.size - 1)
    assert segment(FORMAT, path, 127).path.read_bytes()[:4] == b"II\x2b\0"


def test_equal_masks_are_equal_files(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"})
    assert segment(FORMAT, path, 127).path.read_bytes() == segment(FORMAT, path, 127).path.read_bytes()


def test_fuzz(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    ome, hyper = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(ome, STACK, ome=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(hyper, STACK, imagej=True, metadata={"axes": "ZYX"})
    seeds = [data for data, _ in VARIANTS.values()] + [ome.getvalue(), hyper.getvalue()]
    found = {survives(FORMAT, mutate(seeds[i % len(seeds)], rng), tmp_path) for i in range(400)}
    assert {"read", "UnreadableError"} <= found
