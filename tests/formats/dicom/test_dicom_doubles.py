"""Elements that stand twice, and pixel data that the header does not explain: readers would see different images."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest

from segcli.errors import UnreadableError


def element(group: int, number: int, representation: str, value: bytes) -> bytes:
    head = struct.pack("<HH", group, number) + representation.encode()
    long = representation in ("OW", "OB")
    return head + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))) + value


def followed_by(more: bytes) -> Callable[[bytes], bytes]:
    """A further element of the same tag behind the one that is there."""

    def change(data: bytes) -> bytes:
        start = data.index(more[:6], 300)
        (length,) = struct.unpack_from("<H", data, start + 6)
        return data[: start + 8 + length] + more + data[start + 8 + length :]

    return change


def spoil(folder: Path, change: Callable[[bytes], bytes]) -> None:
    making.save_all(making.stack(making.phantom()), folder)
    path = folder / "002.dcm"
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("keyword", "more"),
    [
        ("RescaleIntercept", element(0x28, 0x1052, "DS", b"5000")),
        ("PixelSpacing", element(0x28, 0x30, "DS", b"3\\3 ")),
        ("ImagePositionPatient", element(0x20, 0x32, "DS", b"3\\3\\3 ")),
        ("PhotometricInterpretation", element(0x28, 0x4, "CS", b"MONOCHROME1 ")),
    ],
)
def test_an_element_that_stands_twice_fails_its_series(keyword: str, more: bytes, tmp_path: Path) -> None:
    spoil(tmp_path, followed_by(more))
    (left,) = making.scan(tmp_path).left_out
    assert left.status == "failed" and len(left.files) == 6
    assert left.reason == f"1 of its 6 files: {keyword} stands in it twice: correct the file"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (element(0x7FE0, 0x10, "OW", bytes(24 * 20 * 2)), "PixelData stands in it twice"),
        (element(0x28, 0x1052, "DS", b"5000"), "behind its pixel data"),
    ],
)
def test_a_second_image_and_late_elements_are_refused(more: bytes, words: str, tmp_path: Path) -> None:
    spoil(tmp_path, lambda data: data + more)
    case = making.scan(tmp_path).case
    with pytest.raises(UnreadableError, match=words):
        making.read(case)


def test_zeros_and_trailing_padding_behind_the_pixels_are_no_elements(tmp_path: Path) -> None:
    spoil(tmp_path, lambda data: data + element(0xFFFC, 0xFFFC, "OB", bytes(200)) + bytes(512))
    assert np.array_equal(making.read(making.scan(tmp_path).case).pixels[:, 0], making.phantom())


@pytest.mark.parametrize(("rows", "columns"), [(24, 19), (13, 20), (23, 20)])
def test_pixels_that_the_sizes_do_not_explain_are_refused(rows: int, columns: int, tmp_path: Path) -> None:
    images = making.stack(making.phantom() + 2000)  # no pixel is zero
    for image in images:
        image.Rows, image.Columns = rows, columns
    case = making.scan(making.save_all(images, tmp_path)).case
    with pytest.raises(UnreadableError, match="more pixel data"):
        making.read(case)


def test_fewer_zeros_than_pixels_are_padding(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    images[2].PixelData += bytes(128)
    case = making.scan(making.save_all(images, tmp_path)).case
    assert np.array_equal(making.read(case).pixels[:, 0], making.phantom())
