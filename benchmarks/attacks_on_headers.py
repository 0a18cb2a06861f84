"""Attacks by headers that contradict their data or themselves; each gave a wrong mask. Used by red_team.py."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Sequence

import nibabel
import numpy as np
import tifffile
from attacked import Attack, Place
from hostile_dicom import beside, data_set, one, refused, slice_of_ct, written
from PIL import Image as Pillow
from pydicom.uid import ExplicitVRLittleEndian

GREY = (np.indices((64, 64)).sum(0) + 40).astype(np.uint8)
VOLUME = np.arange(16 * 12 * 3, dtype=np.int16).reshape(16, 12, 3)


def named(name: str, data: bytes) -> Attack:
    def prepare(place: Place) -> Sequence[str]:
        (place.inputs / name).write_bytes(data)
        return beside(place)

    return Attack("seen", name, prepare, refused)


def text_volume(numbers: int) -> bytes:
    """576 voxels of text, as many as there are."""
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 16 12 3\nencoding: text\n\n"
    return (head + " ".join(map(str, range(numbers)))).encode()


def nifti(at: int, value: int) -> bytes:
    """A NIfTI volume of 16-bit numbers with another value at this place of its header."""
    data = bytearray(nibabel.Nifti1Image(VOLUME, np.eye(4)).to_bytes())
    struct.pack_into("<h", data, at, value)
    return bytes(data)


def tiff(number: int, value: int | None) -> bytes:
    """An uncompressed TIFF with a tag set to a value, or without it."""
    out = io.BytesIO()
    tifffile.imwrite(out, GREY, metadata=None, byteorder="<")
    data = out.getvalue()
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = {data[at : at + 2]: data[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)}
    entries.pop(struct.pack("<H", number), None)
    if value is not None:
        entries[struct.pack("<H", number)] = struct.pack("<HHIHH", number, 3, 1, value, 0)
    in_order = sorted(entries.values(), key=lambda entry: struct.unpack("<H", entry[:2]))
    directory = struct.pack("<H", len(entries)) + b"".join(in_order) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def calibrated() -> bytes:
    out = io.BytesIO()
    signed = {"cf": 0, "c0": -32768.0, "c1": 1.0}
    tifffile.imwrite(out, GREY.astype(np.uint16) + 32768, imagej=True, metadata=signed)
    return out.getvalue()


def turned_png() -> bytes:
    out, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(GREY).save(out, "PNG", exif=exif)
    return out.getvalue()


def dicom(change: str) -> bytes:
    made = data_set(ExplicitVRLittleEndian)
    made.PixelData = (slice_of_ct() + 1).tobytes()
    if change == "a column too few":
        made.Columns -= 1
    data = written(made)
    if change == "two images":
        data += b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", len(made.PixelData)) + bytes(len(made.PixelData))
    if change == "two pixel spacings":
        at = data.index(b"\x28\x00\x30\x00DS")
        end = at + 8 + struct.unpack_from("<H", data, at + 6)[0]
        data = data[:end] + b"\x28\x00\x30\x00DS\x04\x003\\3 " + data[end:]
    return data


ATTACKS = (
    named("text-cut-off.nrrd", text_volume(400)),
    named("text-too-long.nrrd", text_volume(700)),
    named("twice-the-bytes.nrrd", text_volume(0).replace(b"text", b"raw\nendian: little") + bytes(2 * 1152)),
    named("bytes-called-shorts.nii", nifti(70, 2)),
    named("one-slice-of-three.nii.gz", gzip.compress(nifti(40, 2))),
    named("predictor-of-none.tif", tiff(317, 2)),
    named("black-or-white.tif", tiff(262, None)),
    named("half-the-columns.tif", tiff(256, 32)),
    named("calibrated.tif", calibrated()),
    named("turned.png", turned_png()),
    *(
        Attack("seen", f"DICOM: {change}", one(lambda change=change: dicom(change)), refused)
        for change in ("a column too few", "two images", "two pixel spacings")
    ),
)
