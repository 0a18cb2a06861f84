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
        (b"\n\n  \nComment =\nNDims = 2", "mha"),
        (b"ObjectType = Tube\nColour = 3\n", None),
        (b"a line of text\nNDims = 3\n", None),
        (b"x1 = 3\nNDims = 3\n", None),
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


HOSTILE = {
    "newlines": b"\n" * (HEAD - 1) + b"x",
    "blanks": b" " * HEAD,
    "blank lines": b" \t\n" * (HEAD // 3),
    "an INI file": b"a = 1\n\n\n" * (HEAD // 8) + b"[end]",
    "key without value": b"a" * HEAD,
    "keys": b"_=" * (HEAD // 2),
    "keys with newlines": b"a\n=\n" * (HEAD // 4),
    "tens": bytes([10]) * HEAD,
    "gzip of newlines": gzip.compress(b"\n" * 1_000_000),
}


@pytest.mark.parametrize("head", HOSTILE.values(), ids=HOSTILE)
def test_no_head_takes_time(head: bytes) -> None:
    script = (
        "import sys; from segcli.formats.table import HEAD, other_kind, recognise\n"
        "head = bytes.fromhex(sys.argv[1])[:HEAD]\n"
        "for _ in range(100): recognise(head), other_kind(head)"
    )
    subprocess.run([sys.executable, "-c", script, head.hex()], check=True, timeout=60)  # 100 take 0.2 seconds


def test_a_dicom_file_with_a_tiff_preamble_is_dicom() -> None:
    dual = b"II*\0\x08\0\0\0".ljust(128, b"\0") + b"DICM\x02\0\0\0UL\x04\0"
    assert recognise(dual.ljust(200, b"\0")) == "dicom"
