"""The table of formats, and which of them a file is.

Recognition is by content alone and imports nothing heavy, so that the main process can look at 100,000 files; what
only a library can tell is left to ``describe`` in a reader process.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

from segcli.formats.interface import Format

HEAD = 4096
"""Bytes from the start of a file that recognition looks at."""

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "dicom": "segcli.formats.dicom.format:FORMAT",
        "jpeg": "segcli.formats.jpeg:FORMAT",
        "tiff": "segcli.formats.tiff:FORMAT",
        "nrrd": "segcli.formats.volume:NRRD",
        "nifti": "segcli.formats.nifti:FORMAT",
        "mha": "segcli.formats.volume:MHA",
        "png": "segcli.formats.png:FORMAT",
    }
)
"""Name of a format → module and attribute that hold it. They are asked about a file in this order."""

TEXT = "text"
_GZIP = b"\x1f\x8b"

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


def load_format(name: str, formats: Mapping[str, str] = FORMATS) -> Format:
    """The format of this name. Raises KeyError for a name that is not in the table."""
    module, _, attribute = formats[name].partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, Format):
        raise TypeError(f"{formats[name]} is no Format")
    return found


def recognise(head: bytes) -> str | None:
    """Name of the format of a file whose first :data:`HEAD` bytes are ``head``; None if it is none of ours."""
    unpacked = _inflate(head) if head.startswith(_GZIP) else head
    for source in _all():
        if source.recognises(unpacked if source.inside_gzip else head):
            return source.name
    return None


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


@cache
def _all() -> tuple[Format, ...]:
    return tuple(load_format(name) for name in FORMATS)


def _inflate(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(head, HEAD)
    except zlib.error:
        return b""
