"""JPEG: turned as EXIF says (oracle: Pillow's exif_transpose), the mask a PNG in that frame."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from plain_files import mutate, pillow, read, scene, segment, survives

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.jpeg import FORMAT

GREY = scene()
RGB = np.stack([scene(seed=s) for s in range(3)], axis=-1)


def jpeg(pixels: NDArray[Any], mode: str | None = None, orientation: int | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    if orientation is not None:
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image = Pillow.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def oracle(data: bytes) -> NDArray[Any]:
    with Pillow.open(io.BytesIO(data)) as image:
        pixels = np.asarray(ImageOps.exif_transpose(image))
    return pixels[..., None] if pixels.ndim == 2 else pixels


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_every_variant_is_thresholded_as_its_oracle(pixels: Any, progressive: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(pixels, progressive=progressive))
    expected = oracle(path.read_bytes())
    threshold = float(np.median(expected[..., 0]))
    done = segment(FORMAT, path, threshold)
    assert np.array_equal(np.moveaxis(done.result.parts[0].pixels[0], 0, -1), expected)
    assert np.array_equal(pillow(done.path)[1], expected[..., 0] > threshold)
    assert FORMAT.describe(path).shape == (1, *expected.shape[:2])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(GREY, orientation=orientation, dpi=(100, 200)))
    expected = oracle(path.read_bytes())[..., 0]
    done = segment(FORMAT, path, 127)
    assert FORMAT.describe(path).shape == (1, *expected.shape)
    assert np.array_equal(pillow(done.path)[1], expected > 127)
    with Pillow.open(done.path) as mask:
        x, y = (round(dpi) for dpi in mask.info["dpi"])
    assert (x, y) == ((100, 200) if orientation < 5 else (200, 100))


def test_twelve_bit(tmp_path: Path) -> None:
    values = scene(top=4095, dtype=np.uint16)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(imagecodecs.jpeg8_encode(values, level=100, bitspersample=12)))
    pixels = read(FORMAT, path).parts[0].pixels
    assert pixels.dtype == np.uint16
    assert np.abs(pixels[0, 0].astype(int) - values).max() < 64


def test_what_cannot_be_taken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(RGB, "CMYK"))
    with pytest.raises(UnsupportedError, match="CMYK"):
        read(FORMAT, path)
    whole = jpeg(RGB)
    for cut in (len(whole) - 2, len(whole) // 2, 100, 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(UnreadableError):
            read(FORMAT, path)
    path.write_bytes(whole)
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        read(FORMAT, path, max_pixels=100)
    with pytest.raises(UnsupportedError, match="label"):
        FORMAT.read_labels(path)


def test_damaged_exif_counts_as_none(tmp_path: Path) -> None:
    data = jpeg(GREY, orientation=6)
    at = data.index(b"Exif\0\0") + 6
    (tmp_path / "a.jpg").write_bytes(data[:at] + b"\xff" * 8 + data[at + 8 :])
    assert read(FORMAT, tmp_path / "a.jpg").parts[0].shape[2:] == GREY.shape


def test_two_orientations_are_refused_and_the_same_one_twice_is_not(tmp_path: Path) -> None:
    path, data, other = tmp_path / "a.jpg", jpeg(GREY, orientation=6), jpeg(GREY, orientation=3)
    first, more = (found[found.index(b"\xff\xe1") : found.index(b"\xff\xdb")] for found in (data, other))
    path.write_bytes(data.replace(first, first + first))
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], oracle(data)[..., 0])
    path.write_bytes(data.replace(first, more + first))
    with pytest.raises(UnsupportedError, match="two orientations"):
        read(FORMAT, path)


def test_bytes_between_the_segments_are_told_as_damage(tmp_path: Path) -> None:
    """libjpeg warns of them: a table before them may have lost its end."""
    path = tmp_path / "a.jpg"
    data = jpeg(GREY)
    behind = 4 + int.from_bytes(data[4:6], "big")  # the first segment
    path.write_bytes(data[:behind] + b"junk\xff\0" + data[behind:])
    with pytest.raises(UnreadableError, match="damaged"):
        read(FORMAT, path)


STREAMS = {
    "baseline": jpeg(RGB),
    "progressive": jpeg(RGB, progressive=True),
    "grey": jpeg(GREY),
    "12 bit": bytes(imagecodecs.jpeg8_encode(scene(top=4095, dtype=np.uint16), level=95, bitspersample=12)),
    "lossless": bytes(imagecodecs.jpeg8_encode(GREY, lossless=True)),
    "lossless colours": bytes(imagecodecs.jpeg8_encode(RGB, lossless=True)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stretch_of_overwritten_bytes_is_noticed(name: str, tmp_path: Path) -> None:
    """imagecodecs reads nine of ten of these without a word, and other pixels than were there.

    JPEG has no checksum: where the other bytes happen to be as many bits of code, no decoder can tell.
    """
    data, path = STREAMS[name], tmp_path / "a.jpg"
    path.write_bytes(data)
    read(FORMAT, path)
    begin = data.index(b"\xff\xda") + 14
    passed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        length = min(400, (len(data) - 2 - begin) // 3)
        at = int(rng.integers(begin, len(data) - 2 - length))
        path.write_bytes(data[:at] + rng.integers(0, 255, length, np.uint8).tobytes() + data[at + length :])
        try:
            read(FORMAT, path)
            passed += 1
        except UnreadableError:
            pass
    assert passed <= 3


def test_code_that_ends_a_few_bytes_early_is_noticed(tmp_path: Path) -> None:
    """libjpeg reads ahead and passes over seven bytes too many; filling before the end marker is no damage."""
    data, path = STREAMS["lossless"], tmp_path / "a.jpg"
    path.write_bytes(data[:-2] + b"\xff\xff" + data[-2:])
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], GREY)
    path.write_bytes(data[:-2] + b"\x12\x34" + data[-2:])
    with pytest.raises(UnreadableError, match="its data are damaged"):
        read(FORMAT, path)


CLIP = np.random.default_rng(9).integers(0, 256, 9_000_000, np.uint8).tobytes()


@pytest.mark.parametrize("behind", [b"clip\xff\xd9", jpeg(RGB, progressive=True), CLIP], ids=["mark", "jpeg", "clip"])
@pytest.mark.parametrize("name", STREAMS)
def test_what_stands_behind_the_picture_is_not_looked_at(name: str, behind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(STREAMS[name])
    alone = read(FORMAT, path).parts[0].pixels
    path.write_bytes(STREAMS[name] + behind)
    assert np.array_equal(read(FORMAT, path).parts[0].pixels, alone)


def test_a_clip_behind_the_picture_hides_no_damage(tmp_path: Path) -> None:
    data, path = STREAMS["lossless"], tmp_path / "a.jpg"
    path.write_bytes(data[:-2] + b"\x12\x34" + data[-2:] + CLIP[:3_000_000])
    with pytest.raises(UnreadableError, match="its data are damaged"):
        read(FORMAT, path)


def test_a_clip_behind_the_picture_pays_for_no_pixels(tmp_path: Path) -> None:
    data, path = jpeg(GREY), tmp_path / "a.jpg"
    frame = data.index(b"\xff\xc0") + 5
    path.write_bytes(data[:frame] + (20_000).to_bytes(2, "big") * 2 + data[frame + 4 :] + CLIP)
    with pytest.raises(UnreadableError, match="more pixels than its bytes can hold"):
        read(FORMAT, path)


def test_a_million_segments_behind_a_scan_are_refused(tmp_path: Path) -> None:
    data, path = jpeg(RGB, progressive=True), tmp_path / "a.jpg"
    path.write_bytes(data[:-2] + b"\xff\xfe\0\2" * 1_000_000 + data[-2:])
    with pytest.raises(UnsupportedError, match="more than 10,000 segments"):
        read(FORMAT, path)


def test_sixteen_bits_without_loss_come_back_exactly(tmp_path: Path) -> None:
    values, path = scene(top=65535, dtype=np.uint16), tmp_path / "a.jpg"
    path.write_bytes(bytes(imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=16)))
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], values)


def test_thousands_of_scans_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    data = jpeg(RGB, progressive=True)
    last = data.rindex(b"\xff\xda")
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:-2] + 4000 * data[last:-2] + data[-2:])
    with pytest.raises(UnsupportedError, match=r"4,010 scans, the limit is 100"):
        read(FORMAT, path)


def test_a_file_far_too_large_for_its_pixels_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(GREY))
    os.truncate(path, 2**26)
    with pytest.raises(UnreadableError, match="far more bytes than its pixels can need"):
        read(FORMAT, path)


def test_a_size_that_the_bytes_cannot_hold_is_refused(tmp_path: Path) -> None:
    data = jpeg(GREY)
    frame = data.index(b"\xff\xc0") + 5
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:frame] + (20_000).to_bytes(2, "big") * 2 + data[frame + 4 :])
    with pytest.raises(UnreadableError, match="more pixels than its bytes can hold"):
        read(FORMAT, path)


@pytest.mark.parametrize("filling", [b"\xff" * 4_000_000, b"\xff\0" * 2_000_000])
def test_filling_before_the_header_takes_no_time(filling: bytes, tmp_path: Path) -> None:
    data, path = jpeg(GREY), tmp_path / "a.jpg"
    path.write_bytes(data[:2] + filling + data[2:])
    begun = time.process_time()
    assert FORMAT.describe(path).shape == (1, *GREY.shape)
    assert time.process_time() - begun < 3


def test_a_header_of_a_million_segments_is_refused(tmp_path: Path) -> None:
    data, path = jpeg(GREY), tmp_path / "a.jpg"
    path.write_bytes(data[:2] + b"\xff\xfe\0\2" * 1_000_000 + data[2:])
    begun = time.process_time()
    with pytest.raises(UnsupportedError, match="more than 10,000 segments"):
        FORMAT.describe(path)
    assert time.process_time() - begun < 1


def test_names_of_masks() -> None:
    assert FORMAT.mask_name("a.jpg") == "a.jpg.png"
    assert FORMAT.recognises(jpeg(GREY)[:4096])
    assert not FORMAT.recognises(b"\xff\xd9\xff")


def test_fuzz(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    seeds = [jpeg(GREY), jpeg(RGB, orientation=6), jpeg(RGB, progressive=True)]
    found = {survives(FORMAT, mutate(seeds[i % 3], rng), tmp_path) for i in range(300)}
    assert {"read", "UnreadableError"} <= found
