"""JPEG: turned as EXIF says (oracle: Pillow's exif_transpose), the mask a PNG in that frame."""

from __future__ import annotations

import io
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


def test_bytes_between_the_segments_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    data = jpeg(GREY)
    behind = 4 + int.from_bytes(data[4:6], "big")  # the first segment
    path.write_bytes(data[:behind] + b"junk\xff\0" + data[behind:])
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[0, 0], pillow(path)[1])
    assert FORMAT.describe(path).shape == (1, *GREY.shape)


def test_names_of_masks() -> None:
    assert FORMAT.mask_name("a.jpg") == "a.jpg.png"
    assert FORMAT.recognises(jpeg(GREY)[:4096])
    assert not FORMAT.recognises(b"\xff\xd9\xff")


def test_fuzz(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    seeds = [jpeg(GREY), jpeg(RGB, orientation=6), jpeg(RGB, progressive=True)]
    found = {survives(FORMAT, mutate(seeds[i % 3], rng), tmp_path) for i in range(300)}
    assert {"read", "UnreadableError"} <= found
