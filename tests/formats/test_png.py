"""PNG: every variant read as libpng's oracle Pillow (or the bytes made by hand) has it, masks exact."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow
from plain_files import mask_request, mutate, pillow, read, scene, segment, survives

from segcli.contract import Label
from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.png import FORMAT
from segcli.formats.table import recognise
from segcli.image import LabelMap

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def packed(values: np.ndarray, depth: int) -> bytes:
    """Scanlines without filter, samples packed from the high bits on."""
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    lines = np.packbits(bits.reshape(len(values), -1), axis=1)
    return b"".join(b"\0" + line.tobytes() for line in lines)


def handmade(values: np.ndarray, depth: int, color: int, before: bytes = b"") -> bytes:
    rows, columns = values.shape
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, color, 0, 0, 0))
    return SIGNATURE + head + before + chunk(b"IDAT", zlib.compress(packed(values, depth))) + chunk(b"IEND", b"")


def interlaced(values: np.ndarray) -> bytes:
    """8-bit grey by Adam7."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b"".join(packed(values[r::dr, c::dc], 8) for r, c, dr, dc in passes if values[r::dr, c::dc].size)
    rows, columns = values.shape
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 1))
    return SIGNATURE + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


GREY8 = scene()
GREY16 = scene(top=65535, dtype=np.uint16)
RGB8 = np.stack([scene(seed=s) for s in range(3)], axis=-1)
RGB16 = np.stack([scene(top=65535, dtype=np.uint16, seed=s) for s in range(3)], axis=-1)
PALETTE = bytes(range(256)) * 3

VARIANTS = {
    **{f"grey{d}": (handmade(scene(top=2**d - 1), d, 0), scene(top=2**d - 1) * (255 // (2**d - 1))) for d in (1, 2, 4)},
    "grey8": (bytes(imagecodecs.png_encode(GREY8)), GREY8),
    "grey16": (bytes(imagecodecs.png_encode(GREY16)), GREY16),
    "rgb8": (bytes(imagecodecs.png_encode(RGB8)), RGB8),
    "rgb16": (bytes(imagecodecs.png_encode(RGB16)), RGB16),
    "rgba8 opaque": (bytes(imagecodecs.png_encode(np.dstack([RGB8, np.full_like(GREY8, 255)]))), RGB8),
    "grey+alpha16 opaque": (bytes(imagecodecs.png_encode(np.dstack([GREY16, np.full_like(GREY16, 65535)]))), GREY16),
    "interlaced": (interlaced(GREY8), GREY8),
    "gamma ignored": (handmade(GREY8, 8, 0, chunk(b"gAMA", struct.pack(">I", 100_000))), GREY8),
    "transparent colour unused": (handmade(GREY8 | 1, 8, 0, chunk(b"tRNS", b"\0\0")), GREY8 | 1),
    **{
        f"palette{d}": (
            handmade(scene(top=2**d - 1), d, 3, chunk(b"PLTE", PALETTE[: 3 * 2**d])),
            np.frombuffer(PALETTE[: 3 * 2**d], np.uint8).reshape(-1, 3)[scene(top=2**d - 1)],
        )
        for d in (1, 2, 4, 8)
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_thresholded_as_its_oracle(name: str, tmp_path: Path) -> None:
    data, expected = VARIANTS[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    expected = expected[..., None] if expected.ndim == 2 else expected
    threshold = float(np.median(expected[..., 0]))
    done = segment(FORMAT, path, threshold)
    (part,) = done.result.parts
    assert part.pixels.dtype == expected.dtype
    assert np.array_equal(np.moveaxis(part.pixels[0], 0, -1), expected)
    assert FORMAT.describe(path).shape == (1, *expected.shape[:2])
    mode, indices = pillow(done.path)
    assert mode == "P"
    assert np.array_equal(indices, expected[..., 0] > threshold)


def test_the_mask_shows_the_colours_of_the_card(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    labels = np.array([[[0, 1, 2]]], np.uint8)
    FORMAT.write(path, None, [LabelMap(labels)], mask_request())  # type: ignore[arg-type]
    assert pillow(path, "RGB")[1].tolist() == [[[0, 0, 0], [255, 170, 0], [0, 80, 255]]]


def test_grey_masks_and_labels_above_255(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    labels = np.array([[[0, 1, 2]]], np.uint8)
    FORMAT.write(path, None, [LabelMap(labels)], mask_request(png_mask="grey"))  # type: ignore[arg-type]
    assert pillow(path)[0] == "L"
    assert np.array_equal(FORMAT.read_labels(path)[0].pixels, labels)
    wide = np.array([[[0, 300, 65535]]], np.uint16)
    FORMAT.write(path, None, [LabelMap(wide)], mask_request(Label(300, "x", (1, 2, 3))))  # type: ignore[arg-type]
    assert np.array_equal(pillow(path)[1], wide[0])
    assert np.array_equal(FORMAT.read_labels(path)[0].pixels, wide)


def test_resolution_comes_back_exactly(tmp_path: Path) -> None:
    for phys in (struct.pack(">IIB", 2835, 11811, 1), struct.pack(">IIB", 3, 2, 0)):
        path = tmp_path / "a.png"
        path.write_bytes(handmade(GREY8, 8, 0, chunk(b"pHYs", phys)))
        assert chunk(b"pHYs", phys) in segment(FORMAT, path, 100).path.read_bytes()


@pytest.mark.parametrize(
    ("sound", "spoilt"),
    [(b"\x89PNG", b"\x09PNG"), (b"\x89PNG", b"\x89QNG"), (b"\r\n\x1a\n", b"\n\x1a\n"), (b"\r\n\x1a\n", b"\r\n \n")],
)
def test_a_transfer_in_text_mode_is_told(sound: bytes, spoilt: bytes, tmp_path: Path) -> None:
    """As in the xs*, xcrn and xlfn files of PngSuite."""
    data = handmade(GREY8, 8, 0).replace(sound, spoilt, 1)
    assert recognise(data[:4096]) == "png"
    (tmp_path / "a.png").write_bytes(data)
    for attempt in (FORMAT.describe, lambda path: read(FORMAT, path)):
        with pytest.raises(UnreadableError, match="text mode"):
            attempt(tmp_path / "a.png")


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_label_numbers_of_few_bits_are_not_spread(depth: int, tmp_path: Path) -> None:
    values = scene(top=2**depth - 1)
    for color, before in ((0, b""), (3, chunk(b"PLTE", PALETTE[: 3 * 2**depth]))):
        (tmp_path / "m.png").write_bytes(handmade(values, depth, color, before))
        assert np.array_equal(FORMAT.read_labels(tmp_path / "m.png")[0].pixels[0], values)


def test_animated_png_says_that_only_the_first_frame_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(imagecodecs.apng_encode(np.stack([GREY8, GREY8[::-1]]))))
    result = read(FORMAT, path)
    assert "animated" in result.warnings[0]
    assert np.array_equal(result.parts[0].pixels[0, 0], GREY8)


def test_damaged_animation_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(handmade(GREY8, 8, 0, chunk(b"acTL", struct.pack(">II", 0, 0))))  # no frames at all
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], GREY8)
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UnreadableError):
        read(FORMAT, path)


@pytest.mark.parametrize(
    "data",
    [
        bytes(imagecodecs.png_encode(np.dstack([RGB8, GREY8]))),
        handmade(GREY8, 8, 0, chunk(b"tRNS", struct.pack(">H", int(GREY8[0, 0])))),
    ],
)
def test_transparency_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnsupportedError, match="transparent"):
        read(FORMAT, tmp_path / "a.png")


def test_a_bomb_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**30, 2**30, 8, 6, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(SIGNATURE + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(UnsupportedError, match=r"limit is 500,000,000.*--max-pixels"):
        read(FORMAT, tmp_path / "a.png")
    path = tmp_path / "b.png"
    path.write_bytes(handmade(GREY8, 8, 0))
    assert read(FORMAT, path, max_pixels=GREY8.size).parts
    with pytest.raises(UnsupportedError, match="max-pixels"):
        read(FORMAT, path, max_pixels=GREY8.size - 1)


def test_a_pixel_of_more_than_four_bytes_counts_as_two(tmp_path: Path) -> None:
    rows, columns = GREY8.shape
    for name, held in (("rgb8", rows * columns), ("grey16", rows * columns), ("rgb16", 2 * rows * columns)):
        path = tmp_path / "a.png"
        path.write_bytes(VARIANTS[name][0])
        assert read(FORMAT, path, max_pixels=held).parts
        with pytest.raises(UnsupportedError, match=f"{held:,} pixels to hold at once"):
            read(FORMAT, path, max_pixels=held - 1)


def test_one_channel_models_get_the_luma_of_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(imagecodecs.png_encode(RGB8)))
    luma = read(FORMAT, path, channels=("c",)).parts[0].pixels[0, 0]
    np.testing.assert_allclose(luma, RGB8 @ np.array([0.299, 0.587, 0.114]), rtol=1e-5)
    assert np.array_equal(read(FORMAT, path, channels=("c",), channel="G").parts[0].pixels[0, 0], RGB8[..., 1])
    with pytest.raises(UnsupportedError, match=r"wants 2 channel.*has 3"):
        read(FORMAT, path, channels=("a", "b"))


def test_damage_and_colour_masks_are_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    whole = bytes(imagecodecs.png_encode(GREY8))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableError, match="too early"):
        read(FORMAT, path)
    path.write_bytes(whole[:-30] + b"\0" * 10 + whole[-20:])
    with pytest.raises(UnreadableError):
        read(FORMAT, path)
    path.write_bytes(bytes(imagecodecs.png_encode(RGB8)))
    with pytest.raises(UnsupportedError, match="label"):
        FORMAT.read_labels(path)


SCANLINES = packed(GREY8, 8)
ROWS, COLUMNS = GREY8.shape


def whole(body: bytes, depth: int = 8, color: int = 0, end: bytes = chunk(b"IEND", b"")) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", COLUMNS, ROWS, depth, color, 0, 0, 0)) + body + end


PIXELS = chunk(b"IDAT", zlib.compress(SCANLINES))
COMPLAINED_OF = {
    "a checksum of text": (whole(chunk(b"tEXt", b"a\0b")[:-1] + b"?" + PIXELS), "checksum"),
    "more rows than announced": (whole(chunk(b"IDAT", zlib.compress(2 * SCANLINES))), "more pixel data"),
    "bytes behind the pixels": (whole(chunk(b"IDAT", zlib.compress(SCANLINES) + b"junk")), "more pixel data"),
    "a byte too few": (whole(chunk(b"IDAT", zlib.compress(SCANLINES[:-1]))), "end too early"),
    "no checksum of the pixels": (whole(chunk(b"IDAT", zlib.compress(SCANLINES)[:-4])), "end too early"),
    "no end": (whole(PIXELS, end=b""), "end too early"),
    "colours that are not there": (whole(chunk(b"PLTE", bytes(30)) + PIXELS, color=3), "its palette does not have"),
    "pixels for which there are no bytes": (whole(chunk(b"IDAT", zlib.compress(b"")))[:-12], "end too early"),
    "many chunks": (whole(100_001 * chunk(b"tEXt", b"") + PIXELS), "more than 100,000 chunks"),
}


@pytest.mark.parametrize("name", COMPLAINED_OF)
def test_what_libpng_only_warns_of_is_refused(name: str, tmp_path: Path) -> None:
    data, words = COMPLAINED_OF[name]
    path = tmp_path / "a.png"
    path.write_bytes(whole(PIXELS))
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], GREY8)
    path.write_bytes(data)
    with pytest.raises((UnreadableError, UnsupportedError), match=words):
        read(FORMAT, path)


@pytest.mark.parametrize("place", ["before the pixels", "behind them"])
def test_a_picture_that_exif_says_is_to_be_turned_is_refused(place: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for orientation in range(1, 9):
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        stated = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        path.write_bytes(whole(stated + PIXELS if place == "before the pixels" else PIXELS + stated))
        with Pillow.open(path) as image:
            assert image.getexif()[0x0112] == orientation or place == "behind them"
        if orientation == 1:
            assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], GREY8)
            continue
        for attempt in (lambda: read(FORMAT, path), lambda: FORMAT.read_labels(path)):
            with pytest.raises(UnsupportedError, match="save it turned"):
                attempt()


def test_a_size_that_the_bytes_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    path.write_bytes(SIGNATURE + head + PIXELS + chunk(b"IEND", b""))
    with pytest.raises(UnreadableError, match="more pixels than its bytes can hold"):
        read(FORMAT, path)


def test_no_damaged_byte_passes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "a.png"
    for name in ("grey8", "rgb16", "interlaced", "palette8"):
        data = VARIANTS[name][0]
        for _ in range(25):
            at = int(rng.integers(33, len(data) - 12))
            path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
            with pytest.raises((UnreadableError, UnsupportedError)):
                read(FORMAT, path)


def test_names_of_masks() -> None:
    assert [FORMAT.mask_name(n) for n in ("a.png", "a.PNG", "a.dat", "a")] == ["a.png", "a.PNG", "a.dat.png", "a.png"]


def test_fuzz(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    seeds = [data for data, _ in VARIANTS.values()]
    found = {survives(FORMAT, mutate(seeds[i % len(seeds)], rng), tmp_path) for i in range(400)}
    assert {"read", "UnreadableError"} <= found
