"""Stored bits → intensities, on arrays small enough to work out by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from segcli.formats.dicom import intensity
from segcli.formats.dicom.assembly import Assembly
from segcli.formats.dicom.codestream import read_jpeg, read_jpeg2000
from segcli.formats.dicom.decode import to_integers
from segcli.formats.dicom.layout import Layout


def layout(
    *, stored: int = 12, high: int | None = None, signed: bool = False, photometric: str = "MONOCHROME2"
) -> Layout:
    return Layout(1, 4, 1, 1, 16, stored, stored - 1 if high is None else high, signed, photometric)


def test_bits_above_the_high_bit_are_no_image() -> None:
    raw = np.array([[0xF001, 0x0FFF, 0x0800, 0x17FF]], np.uint16)
    assert to_integers(raw, layout()).tolist() == [[1, 4095, 2048, 2047]]
    assert to_integers(raw, layout(signed=True)).tolist() == [[1, -1, -2048, 2047]]
    assert to_integers(raw, layout(high=15)).tolist() == [[0xF00, 0x0FF, 0x080, 0x17F]]


def test_polarity_turns_about_the_stored_range() -> None:
    assert intensity.inverted(np.array([[0, 1, 4095]], np.uint16), layout()).tolist() == [[4095, 4094, 0]]
    signed = np.array([[-2048, -1, 2047]], np.int16)
    assert intensity.inverted(signed, layout(signed=True)).tolist() == [[2047, 0, -2048]]


@pytest.mark.parametrize(
    ("modality", "rescaled", "turned"),
    [
        ("CR", True, True),
        ("CT", False, False),
        ("PT", False, False),
        ("NM", False, False),
        ("MR", False, True),
        ("MR", True, False),
    ],
)
def test_polarity_of_quantities_is_display_only(modality: str, rescaled: bool, turned: bool) -> None:
    header = Dataset()
    header.Modality = modality
    if rescaled:
        header.RescaleSlope = 2
    assert intensity.is_inverted(header, layout(photometric="MONOCHROME1")) is turned
    assert not intensity.is_inverted(header, layout())


def test_padding_is_a_range_of_stored_values_even_if_written_unsigned() -> None:
    header = Dataset()
    stored = np.array([[-2000, -1999, -1024, 5]], np.int16)
    assert intensity.valid_pixels(stored, header, layout(stored=16, signed=True)) is None
    header.add_new("PixelPaddingValue", "US", 65536 - 2000)
    valid = intensity.valid_pixels(stored, header, layout(stored=16, signed=True))
    assert valid is not None and valid.tolist() == [[False, True, True, True]]
    header.add_new("PixelPaddingRangeLimit", "SS", -1024)
    valid = intensity.valid_pixels(stored, header, layout(stored=16, signed=True))
    assert valid is not None and valid.tolist() == [[False, False, False, True]]


def test_rescale_is_rounded_once() -> None:
    stored = np.array([[0, 1, 4095]], np.uint16)
    floats = intensity.rescaled(stored, 0.1, 0.5, np.dtype("float32"))
    assert floats.dtype == np.float32 and floats.tolist() == [[np.float32(x) for x in (0.5, 0.6, 410.0)]]


@pytest.mark.parametrize(
    ("stored", "offset", "dtype"),
    [
        (np.array([[0, 4095]], np.uint16), -1024, "int16"),
        (np.array([[-32768, 0]], np.int16), -1024, "int32"),
        (np.array([[0, 65535]], np.uint16), 0, "int32"),
        (np.array([[0, 255]], np.uint8), -1024, "int16"),
        (np.array([[-(2**31), 2**31 - 1]], np.int32), 7, "int64"),
    ],
)
def test_whole_numbers_stay_exact_and_narrow(stored: np.ndarray, offset: int, dtype: str) -> None:
    assembly = Assembly(2, "int64" if dtype == "int64" else "int32")
    assembly.put_whole(0, np.zeros_like(stored), 5)
    assembly.put_whole(1, stored, offset)
    pixels, _ = assembly.result()
    assert pixels.dtype == dtype
    assert pixels[1, 0].tolist() == [[int(value) + offset for value in stored[0]]]
    assert pixels[0, 0].tolist() == [[5] * stored.size]


def test_sign_that_the_codestream_states_otherwise_follows_the_header(tmp_path: Path) -> None:
    shutil.copy(get_testdata_file("J2K_pixelrep_mismatch.dcm"), tmp_path / "image")
    header = dcmread(tmp_path / "image")
    expected = header.pixel_array.astype(np.int32) + int(header.RescaleIntercept)
    assert np.array_equal(making.read(making.scan(tmp_path).case).pixels[0, 0], expected)


def test_floating_point_pixels_come_as_they_are(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    values = np.linspace(-1, 1, image.Rows * image.Columns, dtype=np.float32)
    del image.PixelData, image.RescaleSlope, image.RescaleIntercept
    image.BitsAllocated = 32
    image.FloatPixelData = values.tobytes()
    making.save(image, tmp_path / "image")
    pixels = making.read(making.scan(tmp_path).case).pixels
    assert pixels.dtype == np.float32 and np.array_equal(pixels.ravel(), values)


def test_palette_indices_become_their_colours(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1, 2, 2))[0]
    making.put(image, np.array([[0, 1], [2, 3]], np.uint8))
    del image.RescaleSlope, image.RescaleIntercept
    image.PhotometricInterpretation = "PALETTE COLOR"
    table = {"Red": [0, 10, 20, 30], "Green": [1, 11, 21, 31], "Blue": [2, 12, 22, 32]}
    for name, colours in table.items():
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(image, f"{name}PaletteColorLookupTableData", bytes(colours))
    making.save(image, tmp_path / "image")
    pixels = making.read(making.scan(tmp_path).case).pixels
    assert pixels.dtype == np.uint8
    assert pixels[0].reshape(3, 4).tolist() == list(table.values())


def test_codestreams_state_their_sizes() -> None:
    siz = bytes.fromhex("ff4fff51002f0000") + b"".join(n.to_bytes(4, "big") for n in (7, 5, 2, 1)) + bytes(16)
    stream = read_jpeg2000(siz + bytes.fromhex("0001 8b 01 01"))
    assert stream is not None and (stream.rows, stream.columns, stream.components, stream.precision) == (4, 5, 1, 12)
    jpeg = bytes.fromhex("ffd8 ffee 000e 41646f6265 0064 0000 0000 01 ffc0 0011 08 0004 0005 03 011100 021100 031100")
    stream = read_jpeg(jpeg)
    assert stream is not None and (stream.rows, stream.columns, stream.components, stream.ybr) == (4, 5, 3, True)
    assert read_jpeg(b"\xff\xd8\xff") is None and read_jpeg2000(b"") is None


def test_numbers_in_elements_of_a_text_vr_are_numbers(tmp_path: Path) -> None:
    values = making.phantom()
    images = making.stack(values)
    for image in images:
        position = "\\".join(map(str, image.ImagePositionPatient)).encode()
        for keyword, representation, value in (
            ("RescaleIntercept", "LO", b"-1024"),
            ("RescaleSlope", "SH", b"1"),
            ("PixelSpacing", "LO", b"0.8\\0.7"),
            ("ImagePositionPatient", "UN", position),
        ):
            making.put_bytes(image, keyword, representation, value)
    image = making.read(making.scan(making.save_all(images, tmp_path)).case)
    assert np.array_equal(image.pixels[:, 0], values)
    assert image.geometry.spacing == (0.8, 0.7)
