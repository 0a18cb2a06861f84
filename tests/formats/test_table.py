"""Recognition by content alone, and nothing heavy imported for it."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys

import pytest

from segcli.formats.table import HEAD, other_kind, recognise

NIFTI_1 = struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(100)
NIFTI_2_BIG = struct.pack(">i", 540) + b"n+2\0\r\n\x1a\n" + bytes(600)
DICOM = bytes(128) + b"DICM" + bytes(100)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x89PNG\r\n\x1a\n rest", "png"),
        (b"\x09PNG\r\n\x1a\n\0\0\0\x0dIHDR", "png"),
        (b"\x89PNG\n\x1a\n\0\0\0\x0dIHDR", "png"),
        (b"\x89PNG\r\r\n\x1a\r\n\0\0\0\x0dIHDR", "png"),
        (b"\xff\xd8\xff\xe0 rest", "jpeg"),
        (b"II*\0 rest", "tiff"),
        (b"MM\0* rest", "tiff"),
        (b"II+\0 rest", "tiff"),
        (b"MM\0+ rest", "tiff"),
        (NIFTI_1, "nifti"),
        (NIFTI_2_BIG, "nifti"),
        (gzip.compress(NIFTI_1, mtime=0), "nifti"),
        (gzip.compress(NIFTI_1 + bytes(range(256)) * 4000)[:HEAD], "nifti"),
        (gzip.compress(b"II*\0 rest", mtime=0), "tiff"),
        (gzip.compress(b"\x89PNG\r\n\x1a\n rest", mtime=0), "png"),
        (gzip.compress(b"ObjectType = Image\n", mtime=0), "mha"),
        (b"NRRD0005\ntype: short\n", "nrrd"),
        (b"ObjectType = Image\nNDims = 3\n", "mha"),
        (b"Comment = x\r\nNDims = 2\r\n", "mha"),
        (DICOM, "dicom"),
        (b"ObjectType = Tube\nColour = 3\n", None),
        (struct.pack("<i", 348) + bytes(500), None),
        (gzip.compress(b"text", mtime=0), None),
        (b"\x1f\x8b", None),
        (b"plain text", None),
        (b"", None),
    ],
)
def test_recognition(head: bytes, name: str | None) -> None:
    assert recognise(head) == name


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"notes", "text"),
        (("x" * (HEAD - 1) + "é").encode()[:HEAD], "text"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\xfe\x00\x01", "unknown content"),
        (b"\xff\xfe\xfd", "unknown content"),
    ],
)
def test_what_else_a_file_is(head: bytes, words: str) -> None:
    assert other_kind(head) == words


def test_scanning_imports_nothing_heavy() -> None:
    script = (
        "import sys, segcli.formats.scan, segcli.formats.readers, segcli.formats.atomic\n"
        "from segcli.formats.table import recognise; recognise(b'text')\n"
        "heavy = {'SimpleITK', 'pydicom', 'highdicom', 'tifffile', 'imagecodecs', 'PIL', 'nibabel', 'torch'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_dicom_file_with_a_tiff_preamble_is_dicom() -> None:
    dual = b"II*\0\x08\0\0\0".ljust(128, b"\0") + b"DICM\x02\0\0\0UL\x04\0"
    assert recognise(dual.ljust(200, b"\0")) == "dicom"
