"""Damaged compressed streams, and headers that promise what their bytes cannot pay for."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import dicom_making as making
import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from segcli.errors import UnreadableError, UnsupportedError

Encoder = Callable[[NDArray[np.uint16]], bytes]


def jpeg2000(values: NDArray[np.uint16]) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, level=0, bitspersample=12))


CODECS: dict[UID, Encoder] = {
    JPEGLosslessSV1: lambda values: bytes(imagecodecs.ljpeg_encode(values, bitspersample=12)),
    JPEGLSLossless: lambda values: bytes(imagecodecs.jpegls_encode(values)),
    JPEG2000Lossless: jpeg2000,
    HTJ2KLossless: lambda values: bytes(imagecodecs.htj2k_encode(values)),
}


def noisy() -> NDArray[np.uint16]:
    """A body with the noise of an acquisition: what compresses to nothing cannot be damaged."""
    noise = np.random.default_rng(3).normal(0, 12, (1, 128, 128))
    return np.asarray(np.clip(making.phantom(1, 128, 128) + 1024 + noise, 0, 4095), np.uint16)[0]


def image_of(stream: bytes, syntax: UID, values: NDArray[np.uint16]) -> Dataset:
    (image,) = making.stack(making.phantom(1, 128, 128))
    making.put(image, values, bits=12)
    image.PixelData, image.file_meta.TransferSyntaxUID = encapsulate([stream]), syntax
    image["PixelData"].VR = "OB"
    image.RescaleIntercept = 0
    return image


@pytest.mark.parametrize("syntax", CODECS, ids=lambda syntax: syntax.name.split(" (")[0])
def test_damage_that_a_decoder_only_warns_of_fails_the_slice(syntax: UID, tmp_path: Path) -> None:
    """Decoded without a word each of these is an image of the right size with wrong pixels."""
    values = noisy()
    stream = CODECS[syntax](values)
    making.save(image_of(stream, syntax, values), tmp_path / "intact" / "a")
    assert np.array_equal(making.read(making.scan(tmp_path / "intact").case).pixels[0, 0], values)
    draw = np.random.default_rng(0)
    for number in range(12):
        broken = bytearray(stream)
        for place in draw.integers(len(stream) // 2, len(stream) - 2, 20):
            broken[place] ^= int(draw.integers(1, 256))
        making.save(image_of(bytes(broken), syntax, values), tmp_path / str(number) / "a")
        with pytest.raises(UnreadableError, match="compressed frame"):
            making.read(making.scan(tmp_path / str(number)).case)


def test_one_changed_byte_of_jpeg_2000_is_noticed(tmp_path: Path) -> None:
    """Its code block then ends before or behind its bytes, which OpenJPEG tells only if it is asked."""
    values = noisy()
    broken = bytearray(jpeg2000(values))
    broken[len(broken) // 2] ^= 0x55
    assert not np.array_equal(imagecodecs.jpeg2k_decode(bytes(broken)), values)
    making.save(image_of(bytes(broken), JPEG2000Lossless, values), tmp_path / "a")
    with pytest.raises(UnreadableError, match="damaged"):
        making.read(making.scan(tmp_path).case)


@pytest.mark.parametrize("stated", [128, 4000])
def test_jpeg_2000_that_claims_another_size_is_refused(stated: int, tmp_path: Path) -> None:
    values = noisy()
    stream = bytearray(jpeg2000(values[:16, :16]))
    struct.pack_into(">II", stream, 8, 4000, 4000)
    image = image_of(bytes(stream), JPEG2000Lossless, values)
    image.Rows = image.Columns = stated
    making.save(image, tmp_path / "a")
    with pytest.raises(UnreadableError):
        making.read(making.scan(tmp_path).case)


@pytest.mark.parametrize("frames", [3_000_000, 2_147_483_647])
def test_frames_that_no_byte_pays_for_are_refused_in_the_scan(frames: int, tmp_path: Path) -> None:
    """A film of these took gigabytes in the scan: one frame after the other was listed."""
    (image,) = making.stack(making.phantom(1))
    image.Rows = image.Columns = 1
    image.NumberOfFrames = frames
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    making.save(image, tmp_path / "a")
    start = time.monotonic()
    (refused,) = making.scan(tmp_path).left_out
    assert refused.status == "failed" and "frames" in refused.reason
    assert time.monotonic() - start < 5


def test_a_sparse_file_pays_for_no_frames(tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1))
    image.Rows, image.Columns, image.NumberOfFrames = 4, 4, 3_000_000
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelData = b""
    path = making.save(image, tmp_path / "a")
    with path.open("r+b") as stream:
        stream.seek(-4, 2)  # the length of the pixel data
        stream.write(struct.pack("<I", 48_000_000))
        stream.truncate(path.stat().st_size + 48_000_000)
    if path.stat().st_blocks * 512 > 1_000_000:
        pytest.skip("this file system has no sparse files")
    (refused,) = making.scan(tmp_path).left_out
    assert "frames" in refused.reason


def test_deflated_data_without_their_end_are_refused(tmp_path: Path) -> None:
    """Cut short, zlib gives what it has; pydicom would take it."""
    (image,) = making.stack(making.phantom(1, 64, 64))
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = making.save(image, tmp_path / "a")
    case = making.scan(tmp_path).case
    data = path.read_bytes()
    path.write_bytes(data[:-8])
    with pytest.raises(UnreadableError, match=r"deflated|cut short"):
        making.read(case)


def test_deflated_data_whose_elements_are_all_there_but_not_their_end(tmp_path: Path) -> None:
    """What was cut off may have said more: the stream itself must come to its end."""
    (image,) = making.stack(making.phantom(1, 64, 64))
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = making.save(image, tmp_path / "a")
    case = making.scan(tmp_path).case
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS)) + packer.flush(zlib.Z_SYNC_FLUSH)
    path.write_bytes(data[:start] + body)
    with pytest.raises(UnreadableError, match="without its end"):
        making.read(case)


def test_a_jpeg_of_which_libjpeg_only_warns_fails_the_slice(tmp_path: Path) -> None:
    values = (noisy() >> 4).astype(np.uint8)
    stream = bytes(imagecodecs.jpeg8_encode(values, level=90))
    broken = stream[: len(stream) * 3 // 4] + stream[-2:]  # a quarter of the image, but its end mark is there
    assert imagecodecs.jpeg8_decode(broken).shape == values.shape
    for name, data in (("intact", stream), ("broken", broken)):
        image = image_of(data, JPEGBaseline8Bit, values)
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        making.save(image, tmp_path / name / "a")
    assert making.read(making.scan(tmp_path / "intact").case).pixels.shape[2:] == values.shape
    with pytest.raises(UnreadableError, match="compressed frame"):
        making.read(making.scan(tmp_path / "broken").case)


def test_more_frames_than_their_bytes_pay_for_are_refused_by_the_reader(tmp_path: Path) -> None:
    """Each would cost a tile of the network; --max-pixels lets them pass."""
    (image,) = making.stack(making.phantom(1))
    image.Rows, image.Columns, image.NumberOfFrames = 4, 4, 3_000
    image.PixelData = bytes(4 * 4 * 2 * 3_000)
    making.save(image, tmp_path / "a")
    case = making.scan(tmp_path).case
    with pytest.raises(UnsupportedError, match=r"3,000 slices .* --max-pixels 750000000"):
        making.read(case)
    assert making.read(case, max_pixels=750_000_000).shape[0] == 3_000


def test_a_file_that_ends_inside_its_compressed_pixels_is_called_cut_short(tmp_path: Path) -> None:
    values = noisy()
    path = making.save(image_of(jpeg2000(values), JPEG2000Lossless, values), tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UnreadableError, match="cut short"):
        making.read(making.scan(tmp_path).case)
