"""What hospitals' files hold besides, and what must change nothing: the pixels are those of the plain series."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from segcli.errors import UnreadableError

SEQUENCE, ITEM = b"SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
ITEM_END, SEQUENCE_END = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def group_lengths(image: Dataset) -> None:
    """Retired, and often false."""
    for tag, value in ((0x00080000, 12345), (0x00200000, 0), (0x00280000, 7)):
        image.add_new(tag, "UL", value)


def padded_uids(image: Dataset) -> None:
    """Some files of the series with spaces, some with zeros."""
    odd = image.InstanceNumber % 2
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID"):
        making.put_bytes(image, keyword, "UI", str(image[keyword].value).encode() + (b"  " if odd else b"\0\0"))


def window(image: Dataset) -> None:
    """For the screen; a network is not to see it."""
    image.WindowCenter, image.WindowWidth = 40, 80
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [2, 0, 16], [0, 65535]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    image.VOILUTSequence = [table]


def icon(image: Dataset) -> None:
    """A small picture with pixel data of its own, in a sequence of undefined length before the true one."""
    small = Dataset()
    small.Rows = small.Columns = 2
    small.BitsAllocated, small.PixelData = 8, b"1234"
    small["PixelData"].VR = "OB"
    image.IconImageSequence = [small]
    image["IconImageSequence"].is_undefined_length = True


def nearly_parallel(image: Dataset) -> None:
    """Cosines that a scanner has rounded otherwise in each slice."""
    small = 1e-6 * image.InstanceNumber
    image.ImageOrientationPatient = [1, small, 0, -small, 1, 0]


def kinds_of_bits(image: Dataset) -> None:
    """Signed slices among unsigned ones."""
    if image.InstanceNumber % 2:
        making.put(image, (making.stored_values(image).astype(int) - 1024).astype(np.int16), 12)
        image.RescaleIntercept = 0


def more_bytes(image: Dataset) -> None:
    """Pixel data that is filled up with zeros behind the last pixel."""
    image.PixelData += bytes(300)


def unknown_characters(data: bytes) -> bytes:
    """No such set, and bytes that are Latin letters in none."""
    return data.replace(b"ISO_IR 100", b"ISO_IR 999", 1).replace(b"Test^Phantom", b"Te\xfft^\xbb\x8aantom", 1)


def said_to_be_implicit(data: bytes) -> bytes:
    return data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)


HEADERS = (group_lengths, padded_uids, window, icon, nearly_parallel, kinds_of_bits, more_bytes)


def nested(depth: int) -> bytes:
    """A private sequence of undefined length in a sequence in a sequence."""
    head = b"\x09\x00\x01\x10" + SEQUENCE + ITEM
    return head * depth + (ITEM_END + SEQUENCE_END) * depth


def before_patient(data: bytes, more: bytes) -> bytes:
    place = data.index(b"\x10\0\x10\0PN")
    return data[:place] + more + data[place:]


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "false length of the file meta": lambda data: data[:140] + struct.pack("<I", 5) + data[144:],
    "endless file meta": lambda data: data[:140] + b"\xff" * 4 + data[144:],
    "no transfer syntax": lambda data: data.replace(b"1.2.840.10008.1.2.1\0", b"\0" * 20, 1),
    "implicit said, explicit written": said_to_be_implicit,
    "unknown character set": unknown_characters,
    "padding behind the pixels": lambda data: data + b"\xfc\xff\xfc\xffOB\0\0\x40\0\0\0" + bytes(64),
    "junk behind the pixels": lambda data: data + bytes(range(200)),
    "nested private sequences": lambda data: before_patient(data, nested(40)),
}


@pytest.mark.parametrize("change", HEADERS, ids=lambda change: change.__name__)
def test_headers_that_change_nothing(change: Callable[[Dataset], None], tmp_path: Path) -> None:
    values = making.phantom()
    images = making.stack(values)
    for image in images:
        change(image)
        making.save(image, tmp_path / "in" / str(image.InstanceNumber))
    case = making.scan(tmp_path / "in").case
    assert np.array_equal(making.read(case).pixels[:, 0], values)
    making.segment(case, tmp_path / "seg")


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_change_nothing(name: str, tmp_path: Path) -> None:
    values = making.phantom()
    for number, image in enumerate(making.stack(values)):
        path = making.save(image, tmp_path / "in" / str(number))
        path.write_bytes(BYTES[name](path.read_bytes()))
    case = making.scan(tmp_path / "in").case
    assert np.array_equal(making.read(case).pixels[:, 0], values)
    making.segment(case, tmp_path / "seg")


def test_sequences_deeper_than_the_stack_fail_in_one_line(tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1))
    path = making.save(image, tmp_path / "a")
    path.write_bytes(before_patient(path.read_bytes(), nested(5000)))
    ((_, status, reason),) = making.scan(tmp_path).refused
    assert status == "failed" and reason == "the DICOM header cannot be read (RecursionError)"


def test_far_more_pixels_than_the_header_explains_are_refused(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    images[2].PixelData += images[2].PixelData
    case = making.scan(making.save_all(images, tmp_path)).case
    with pytest.raises(UnreadableError, match="more pixel data"):
        making.read(case)


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF"),
        ("1.2.840.10008.5.1.4.1.1.104.3", "Encapsulated STL"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "Key Object Selection"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "Presentation State"),
        ("1.2.840.10008.5.1.4.1.1.66.1", "Spatial Registration"),
        ("1.2.840.10008.5.1.4.1.1.66", "Raw Data"),
        ("1.2.840.10008.5.1.4.1.1.4.2", "MR Spectroscopy"),
        ("1.3.12.2.1107.5.9.1", "1.3.12.2.1107.5.9.1"),
        (making.CT, "CT Image Storage"),
    ],
)
def test_objects_without_pixels_are_skipped_by_the_name_of_their_kind(
    sop_class: str, name: str, tmp_path: Path
) -> None:
    (image,) = making.stack(making.phantom(1))
    image.SOPClassUID = UID(sop_class)
    del image.PixelData, image.Rows
    making.save(image, tmp_path / "a")
    ((_, status, reason),) = making.scan(tmp_path).refused
    assert status == "skipped" and name in reason
