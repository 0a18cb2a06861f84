"""Headers that contradict themselves or each other: refused with one line, never guessed at."""

from __future__ import annotations

import struct
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom.uid import UID

from segcli.errors import UnreadableError
from segcli.formats.dicom.data_set import Opened
from segcli.formats.dicom.decode import frame_reader
from segcli.formats.dicom.layout import layout_of


def test_one_uid_with_two_contents_fails_the_series(tmp_path: Path) -> None:
    images = making.stack(making.phantom(3))
    making.save_all(images, tmp_path / "a")
    making.put(images[1], making.stored_values(images[1])[::-1].copy())
    making.save(images[1], tmp_path / "b" / "001.dcm")
    found = making.scan(tmp_path)
    assert not found.cases
    assert found.left_out[0].status == "failed" and len(found.left_out[0].files) == 4


def test_images_at_one_place_that_nothing_tells_apart_fail(tmp_path: Path) -> None:
    for copy in range(2):
        for index, image in enumerate(making.stack(making.phantom(3))):
            image.SOPInstanceUID = UID(f"{making.ROOT}.7.{copy}.{index}")
            image.InstanceNumber = 1
            del image.ContentTime
            making.save(image, tmp_path / f"{index}-{copy}")
    found = making.scan(tmp_path)
    assert not found.cases
    assert [entry.status for entry in found.left_out] == ["failed"]
    assert len(found.files()) == 6


def test_one_instance_in_two_series_fails_both(tmp_path: Path) -> None:
    first, second = making.stack(making.phantom()), making.stack(making.phantom())
    for image in second:
        image.SeriesInstanceUID = "1.2.3.4.5"
    making.save_all(first, tmp_path / "a")
    making.save_all(second, tmp_path / "b")
    found = making.scan(tmp_path)
    assert not found.cases
    assert {entry.status for entry in found.left_out} == {"failed"}


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [("PatientID", "P2", "different patients"), ("StudyInstanceUID", "1.2.3.4", "two studies")],
)
def test_one_series_of_two_patients_or_studies_fails(keyword: str, value: str, words: str, tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images[3:]:
        setattr(image, keyword, value)
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases and len(found.files()) == 6
    assert {entry.status for entry in found.left_out} == {"failed"}
    assert all(words in entry.reason and value not in entry.reason for entry in found.left_out)


BROKEN = {
    "a decimal comma": ("RescaleSlope", b"1,5"),
    "not a number": ("RescaleSlope", b"nan"),
    "zero": ("RescaleSlope", b"0"),
    "a word": ("RescaleIntercept", b"none"),
    "two of three": ("ImagePositionPatient", b"1\\2"),
    "not finite": ("ImagePositionPatient", b"inf\\0\\0"),
    "not perpendicular": ("ImageOrientationPatient", b"1\\0\\0\\0.6\\0.8\\0"),
    "one of two": ("PixelSpacing", b"0.8"),
    "commas": ("PixelSpacing", b"0,8\\0,7"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_number_is_not_taken_for_an_absent_one(name: str, tmp_path: Path) -> None:
    """Read as absent, a rescale of 1,5 would be one of 1: a plausible wrong mask."""
    keyword, value = BROKEN[name]
    images = making.stack(making.phantom())
    making.put_bytes(images[2], keyword, "DS", value)
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases
    assert found.left_out[0].status == "failed" and keyword in found.left_out[0].reason
    assert value.decode() not in found.left_out[0].reason


@pytest.mark.parametrize("absent", [["RescaleSlope", "RescaleIntercept"], ["RescaleSlope"], ["RescaleIntercept"]])
@pytest.mark.parametrize("empty", [False, True])
def test_images_with_and_without_rescale_do_not_compare(absent: list[str], empty: bool, tmp_path: Path) -> None:
    """Taken for 1, the one slope that is missing in a PET series makes a slice many times too bright."""
    images = making.stack(making.phantom())
    for image in images:
        image.RescaleSlope = 0.5
    for keyword in absent:
        if empty:
            making.put_bytes(images[2], keyword, "DS", b"")
        else:
            delattr(images[2], keyword)
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases and "rescaled" in found.left_out[0].reason


@pytest.mark.parametrize("keyword", ["BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"])
def test_what_a_pixel_means_is_not_guessed(keyword: str, tmp_path: Path) -> None:
    """All are type 1. Signed pixels read as unsigned give air for bone."""
    images = making.stack(making.phantom())
    for image in images:
        delattr(image, keyword)
        image["PixelData"].VR = "OW"
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases
    assert found.left_out[0].status == "failed" and keyword in found.left_out[0].reason


def test_a_sign_that_is_neither_yes_nor_no_is_refused(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    images[1].PixelRepresentation = 2
    images[1]["PixelData"].VR = "OW"
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases and "PixelRepresentation" in found.left_out[0].reason


@pytest.mark.parametrize(("stated", "taken"), [("1.0", 1), ("0", 1), ("", 1), ("2.5", 0), ("one", 0), ("-2", 0)])
def test_a_number_of_frames_is_whole(stated: str, taken: int, tmp_path: Path) -> None:
    """``taken``: cases; 0 in a still image is what some devices write."""
    images = making.stack(making.phantom())
    for index, image in enumerate(images):
        path = making.save(image, tmp_path / str(index))
        element = b"\x28\0\x08\0IS" + struct.pack("<H", len(stated) + len(stated) % 2)
        data = path.read_bytes()
        rows = data.rindex(b"\x28\0\x10\0US")
        path.write_bytes(data[:rows] + element + stated.encode() + b" " * (len(stated) % 2) + data[rows:])
    found = making.scan(tmp_path)
    assert len(found.cases) == taken
    if not taken:
        assert found.left_out[0].status == "failed" and "NumberOfFrames" in found.left_out[0].reason


@pytest.mark.parametrize("implicit", [False, True])
def test_encapsulated_pixels_in_a_native_syntax_are_refused(implicit: bool, tmp_path: Path) -> None:
    """Read as native, the item heads would be the first pixels and all others lie sixteen bytes off."""
    images = making.stack(making.phantom())
    for index, image in enumerate(images):
        if implicit:
            making.save_bare(image, tmp_path / str(index))
        else:
            making.save(image, tmp_path / str(index))
        data = (tmp_path / str(index)).read_bytes()
        start = data.rindex(b"\xe0\x7f\x10\0")
        head = data[start : start + 4] + (b"" if implicit else b"OB\0\0") + b"\xff" * 4
        items = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(image.PixelData)) + image.PixelData
        (tmp_path / str(index)).write_bytes(data[:start] + head + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    found = making.scan(tmp_path)
    assert not found.cases and "transfer syntax" in found.left_out[0].reason


def test_the_reader_refuses_encapsulated_pixels_in_a_native_syntax_too() -> None:
    """What the scan saw may have been changed since."""
    (image,) = making.stack(making.phantom(1))
    opened = Opened(image, "1.2.840.10008.1.2.1", "PixelData", cut=False, endless=True)
    with pytest.raises(UnreadableError, match="transfer syntax"):
        frame_reader(opened, layout_of(image, "PixelData"))


def test_pixels_of_two_kinds_in_one_file_are_refused(tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1))
    image.FloatPixelData = bytes(4 * image.Rows * image.Columns)
    making.save(image, tmp_path / "a")
    with pytest.raises(UnreadableError, match="FloatPixelData and PixelData"):
        making.read(making.scan(tmp_path).case)


def test_whole_numbers_of_64_bits_are_refused_by_name(tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1))
    making.put(image, making.stored_values(image).astype(np.uint64))
    making.save(image, tmp_path / "a")
    found = making.scan(tmp_path)
    assert not found.cases and "64 bits" in found.left_out[0].reason


@pytest.mark.parametrize(
    ("photometric", "samples"), [("YBR_PARTIAL_422", 3), ("HSV", 3), ("MONOCHROME2", 3), ("RGB", 1), ("Smith^John", 1)]
)
def test_colours_we_cannot_tell_are_refused_without_quoting_the_header(
    photometric: str, samples: int, tmp_path: Path
) -> None:
    image = making.stack(making.phantom(1))[0]
    image.SamplesPerPixel, image.PlanarConfiguration = samples, 0
    image.PixelData = image.PixelData * samples
    making.put_bytes(image, "PhotometricInterpretation", "CS", photometric.encode())
    making.save(image, tmp_path / "a")
    found = making.scan(tmp_path)
    assert not found.cases
    assert found.left_out[0].status == "failed" and "Smith" not in found.left_out[0].reason.title()


@pytest.mark.parametrize("stated", [None, 7])
def test_colours_in_an_unknown_order_are_refused(stated: int | None, tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1))
    making.put(image, np.zeros((24, 60), np.uint8))
    image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 20, 3, "RGB"
    if stated is not None:
        image.PlanarConfiguration = stated
    making.save(image, tmp_path / "a")
    with pytest.raises(UnreadableError, match="PlanarConfiguration"):
        making.read(making.scan(tmp_path).case)
