"""Compressed frames: counted, whole, decoded on all cores; what looks damaged is told."""

from __future__ import annotations

import threading
import time
import zlib
from pathlib import Path

import dicom_making as making
import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from segcli.errors import UnreadableError
from segcli.formats.dicom.damage import unlike_neighbours
from segcli.formats.dicom.layout import Layout
from segcli.formats.dicom.parallel import Workers
from segcli.formats.dicom.rle import decode_rle


def put_frames(image: Dataset, frames: list[bytes], syntax: UID) -> None:
    making.put(image, making.stored_values(image), bits=12)
    image.PixelData = encapsulate(frames)
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = syntax


def jpeg(image: Dataset) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(making.stored_values(image), bitspersample=12))


def run_lengths(values: np.ndarray) -> bytes:
    samples = 1 if values.ndim == 2 else 3
    return RLELosslessEncoder.encode(
        values.tobytes(), rows=values.shape[0], columns=values.shape[1], samples_per_pixel=samples,
        bits_allocated=values.dtype.itemsize * 8, bits_stored=values.dtype.itemsize * 8, pixel_representation=0,
        number_of_frames=1, photometric_interpretation="RGB" if samples == 3 else "MONOCHROME2",
        planar_configuration=0, encoding_plugin="pydicom",
    )  # fmt: skip


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless, None])
def test_more_frames_than_the_header_counts_are_refused(syntax: UID | None, tmp_path: Path) -> None:
    """Of three frames and no NumberOfFrames the first would be a plausible answer."""
    image = making.stack(making.phantom(1))[0]
    values = making.stored_values(image)
    if syntax is None:
        image.PixelData = image.PixelData * 3
    else:
        encode = {
            JPEGLosslessSV1: lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12),
            JPEGLSLossless: imagecodecs.jpegls_encode,
            JPEG2000Lossless: lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True),
            RLELossless: run_lengths,
        }[syntax]
        put_frames(image, [bytes(encode(values + np.uint16(number))) for number in range(3)], syntax)
    making.save(image, tmp_path / "a")
    with pytest.raises(UnreadableError, match=r"more|holds 3"):
        making.read(making.scan(tmp_path).case)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_stream_without_its_end_is_refused(share: float, tmp_path: Path) -> None:
    """libjpeg fills in grey and says nothing."""
    images = making.stack(making.phantom())
    for number, image in enumerate(images):
        stream = jpeg(image)
        put_frames(image, [stream[: int(len(stream) * share)] if number == 2 else stream], JPEGLosslessSV1)
    case = making.scan(making.save_all(images, tmp_path)).case
    with pytest.raises(UnreadableError, match="slice 3 of 6"):
        making.read(case)


@pytest.mark.parametrize("shape", [(5, 7), (4, 6, 3)])
@pytest.mark.parametrize("kind", ["u1", "<u2"])
def test_run_lengths_are_what_pydicom_packed(shape: tuple[int, ...], kind: str) -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, np.iinfo(kind).max, shape).astype(kind)
    values[1:3] = values[0, 0]  # runs, not only literals
    bits = values.dtype.itemsize * 8
    layout = Layout(*shape[:2], 1, shape[2] if len(shape) == 3 else 1, bits, bits, bits - 1, False, "RGB")
    assert np.array_equal(decode_rle(run_lengths(values), layout), values)


def test_damaged_run_lengths_raise_our_error_or_give_a_full_frame() -> None:
    values = making.stored_values(making.stack(making.phantom(1))[0])
    data = run_lengths(values)
    layout = Layout(*values.shape, 1, 1, 16, 16, 15, False, "MONOCHROME2")
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 3):
            broken[place] = random.integers(0, 256)
        try:
            assert decode_rle(bytes(broken[: random.integers(1, len(data) + 1)]), layout).shape == values.shape
        except UnreadableError:
            refused += 1
    assert refused > 250


def test_workers_work_at_once_and_raise_the_first_error() -> None:
    both = threading.Barrier(2, timeout=20)
    with Workers(2) as workers:
        for _ in range(2):
            workers.submit(both.wait)  # neither returns unless both run

    def fail(number: int) -> None:
        time.sleep(0.05 if number == 3 else 0)
        raise ValueError(str(number))

    with pytest.raises(ValueError, match="3"), Workers(2) as workers:
        for number in (3, 4):
            workers.submit(fail, number)


def test_a_slice_unlike_its_neighbours_is_told() -> None:
    """A quarter of one slice is what a damaged stream decodes to."""
    pixels = making.phantom(8, 64, 64)[:, np.newaxis].copy()
    assert unlike_neighbours(pixels) == []
    pixels[4, 0, 32:] = np.random.default_rng(0).integers(-1024, 3000, (32, 64))
    assert unlike_neighbours(pixels) == [5]
    assert unlike_neighbours(pixels[3:6]) == []  # too few to know what is usual


def test_a_stream_overwritten_with_zeros_fails_its_series(tmp_path: Path) -> None:
    images = making.stack(making.phantom(8, 64, 64))
    for number, image in enumerate(images):
        stream = bytearray(jpeg(image))
        if number == 3:
            stream[len(stream) // 4 : -2] = bytes(len(stream) - 2 - len(stream) // 4)  # zeros, and the end mark
        put_frames(image, [bytes(stream)], JPEGLosslessSV1)
    case = making.scan(making.save_all(images, tmp_path)).case
    with pytest.raises(UnreadableError, match="damaged"):
        making.read_result(case)


def test_a_deflate_bomb_without_preamble_never_unfolds(tmp_path: Path) -> None:
    """pydicom would inflate all of it while opening the file."""
    image = making.stack(making.phantom(1))[0]
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = making.save(image, tmp_path / "bomb").read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS))
    for _ in range(60):
        bomb += packer.compress(bytes(1 << 20))
    (tmp_path / "bomb").write_bytes(data[132:start] + bomb + packer.flush())
    with pytest.raises(UnreadableError, match="inflates to more"):
        making.read(making.scan(tmp_path).case)


def test_deflated_without_preamble_is_read(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    pixels = making.read(making.scan(making.save_all([image], tmp_path / "plain")).case).pixels
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = making.save(image, tmp_path / "deflated" / "a")
    path.write_bytes(path.read_bytes()[132:])
    case = making.scan(path.parent).case
    assert case.transfer_syntax == DeflatedExplicitVRLittleEndian != ExplicitVRLittleEndian
    assert np.array_equal(making.read(case).pixels, pixels)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_more_bits_than_the_header_allocates_are_refused(syntax: UID, tmp_path: Path) -> None:
    """Their lower eight bits would be an image of stripes."""
    (image,) = making.stack(making.phantom(1))
    stored = making.stored_values(image)
    encoded = (
        imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, level=0)
        if syntax == JPEG2000Lossless
        else imagecodecs.jpegls_encode(stored)
    )
    image.PixelData, image.file_meta.TransferSyntaxUID = encapsulate([bytes(encoded)]), syntax
    image["PixelData"].VR = "OB"
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    making.save(image, tmp_path / "a")
    with pytest.raises(UnreadableError, match="16 bits where the header allocates 8"):
        making.read(making.scan(tmp_path).case)


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_frames_are_found_with_and_without_offsets(table: str, fragments: int, tmp_path: Path) -> None:
    values = making.phantom()
    images = making.stack(values)
    for image in images:
        frame = bytes(
            imagecodecs.jpeg2k_encode(making.stored_values(image), codecformat="j2k", reversible=True, level=0)
        )
        if table == "extended":
            image.PixelData, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = encapsulate_extended([frame])
        else:
            image.PixelData = encapsulate([frame], fragments_per_frame=fragments, has_bot=table == "basic")
        image["PixelData"].VR = "OB"
        image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert np.array_equal(making.read(making.scan(making.save_all(images, tmp_path)).case).pixels[:, 0], values)
