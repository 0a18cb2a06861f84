"""The closed table of formats. A format module is imported when its name is first asked for, never by looking.

Recognition is by content alone and imports nothing heavy, so that the main process can look at 100,000 files; what
only a library can tell is left to ``describe`` in a reader process.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from segcli.formats.dicom import recognise as dicom

HEAD = 4096
"""Bytes from the start of a file that recognition looks at."""

PLACES: Mapping[str, str] = MappingProxyType(
    {
        "png": "segcli.formats.png:FORMAT",
        "jpeg": "segcli.formats.jpeg:FORMAT",
        "tiff": "segcli.formats.tiff:FORMAT",
        "nifti": "segcli.formats.nifti:FORMAT",
        "nrrd": "segcli.formats.volume:NRRD",
        "mha": "segcli.formats.volume:MHA",
        "dicom": "segcli.formats.dicom.format:FORMAT",
    }
)
"""Name of a format → module and attribute that hold it."""

_MAGIC = (
    ("png", b"\x89PNG\r\n\x1a\n"),
    ("jpeg", b"\xff\xd8\xff"),
    ("tiff", b"II*\0"),
    ("tiff", b"MM\0*"),
    ("tiff", b"II+\0"),
    ("tiff", b"MM\0+"),
    ("nrrd", b"NRRD000"),
)
TEXT = "text"
_IHDR = b"IHDR"
"""The first chunk of every PNG: shows one whose first bytes a transfer in text mode has spoilt."""
_GZIP = b"\x1f\x8b"
_NIFTI_SIZES = {348: (344, (b"n+1\0", b"ni1\0")), 540: (4, (b"n+2\0", b"ni2\0"))}
"""Length of the header, where the magic stands in it, and the magic (NIfTI-1 and NIfTI-2)."""

_OTHER_KINDS = (
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"%PDF", "a PDF document"),
    (b"GIF8", "a GIF picture, which segcli does not read: convert it to PNG"),
    (b"RIFF", "a WebP picture or other RIFF data, which segcli does not read: convert a picture to PNG"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture, which segcli does not read: convert it to PNG or TIFF"),
    (b"BM", "a bitmap or other data, which segcli does not read: convert a picture to PNG"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (_GZIP, "a gzip archive"),
)


def load_format(name: str, places: Mapping[str, str] = PLACES) -> Any:
    """The format object (:class:`segcli.formats.interface.Format`; DICOM's has more). Raises KeyError."""
    module, _, attribute = places[name].partition(":")
    return getattr(import_module(module), attribute)


def recognise(head: bytes) -> str | None:
    """Name of the format of a file whose first :data:`HEAD` bytes are ``head``; None if it is none of ours."""
    if dicom.has_preamble(head):
        return "dicom"  # whose preamble may hold the magic of a TIFF (PS3.10, 7.1)
    if head.startswith(_GZIP):
        return _plain(_inflate(head))  # formats that are never packed refuse such a file by name
    return _plain(head) or ("dicom" if dicom.recognises(head) else None)


def other_kind(head: bytes) -> str:
    """What a file that is no image seems to be, in words for a report."""
    for magic, words in _OTHER_KINDS:
        if head.startswith(magic):
            return words
    if b"\0" not in head:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end within a character
        except UnicodeDecodeError:
            return "unknown content"
        return TEXT
    return "unknown content"


def _plain(head: bytes) -> str | None:
    for name, magic in _MAGIC:
        if head.startswith(magic):
            return name
    if _is_nifti(head):
        return "nifti"
    if is_meta_image(head):
        return "mha"
    return "png" if _IHDR in head[8:20] else None


def _is_nifti(head: bytes) -> bool:
    for order in ("little", "big"):
        place = _NIFTI_SIZES.get(int.from_bytes(head[:4], order))
        if place is not None and head[place[0] : place[0] + 4] in place[1]:
            return True
    return False


def is_meta_image(head: bytes) -> bool:
    """Whether it begins with lines ``Key = value``, among them ObjectType or NDims; one step a line."""
    for line in head.split(b"\n"):
        key, equals, value = (word.strip() for word in line.partition(b"="))
        if key == b"ObjectType" and value.startswith(b"Image"):
            return True
        if key == b"NDims" and value[:1].isdigit():
            return True
        if line.strip() and not (equals and key.replace(b"_", b"").isalpha()):
            return False
    return False


def _inflate(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(head, HEAD)
    except zlib.error:
        return b""
