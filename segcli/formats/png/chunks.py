"""The chunk layer of PNG (ISO/IEC 15948, section 5): just enough to read the header before anything is allocated,
and to keep palette indices and resolution, which no decoder here hands over.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from segcli.errors import UnreadableError
from segcli.formats.png import SIGNATURE

HEADER_SIZE = 33
"""Signature and IHDR chunk."""

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
_DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}


@dataclass(frozen=True)
class Header:
    """IHDR. ``depth``: bits per sample or palette index; ``color``: GREY, RGB, PALETTE, GREY_ALPHA or RGB_ALPHA."""

    columns: int
    rows: int
    depth: int
    color: int
    interlace: int

    @property
    def channels(self) -> int:
        """Of the pixels as they are read: a palette becomes RGB."""
        return {GREY: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}.get(self.color, 3)

    @property
    def itemsize(self) -> int:
        """Bytes of one number as it is read."""
        return 2 if self.depth > 8 else 1


def header(data: bytes) -> Header:
    """IHDR of a file that starts with ``data`` (at least HEADER_SIZE bytes). Raises UnreadableError."""
    if not data.startswith(SIGNATURE):
        raise UnreadableError("the PNG's first bytes are damaged, as by a transfer in text mode: copy it again")
    if len(data) < HEADER_SIZE or data[8:16] != b"\0\0\0\x0dIHDR":
        raise UnreadableError("the PNG has no complete header: export it again")
    columns, rows, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if zlib.crc32(data[12:29]) != struct.unpack(">I", data[29:33])[0]:
        raise UnreadableError("the PNG's header is damaged (a checksum does not match): export it again")
    if not columns or not rows or depth not in _DEPTHS.get(color, ()):
        raise UnreadableError("the PNG's header states no valid size and pixel type: export it again")
    return Header(columns, rows, depth, color, interlace)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of the chunks in order, up to IEND or the end of the data."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def without(data: bytes, kinds: tuple[bytes, ...]) -> bytes:
    """The file without chunks of some types; the others keep their checksums, right or wrong."""
    kept = [SIGNATURE]
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] not in kinds:
            kept.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept) + data[at:]


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def retyped(data: bytes, color: int, extra: bytes = b"", without: tuple[bytes, ...] = ()) -> bytes:
    """The same pixel data under another colour type.

    ``extra``: whole chunks to insert before the pixel data. ``without``: chunk types to leave out.
    """
    kept = [SIGNATURE]
    for kind, payload in chunks(data):
        if kind == b"IHDR":
            kept.append(chunk(kind, payload[:9] + bytes([color]) + payload[10:]))
            kept.append(extra)
        elif kind not in without:
            kept.append(chunk(kind, payload))
    return b"".join(kept)
