"""What a compressed frame says of itself: sizes, precision, colour (ISO 10918-1, 14495-1, 15444-1).

A stream of a few bytes may claim 60,000 x 60,000 pixels; its claim is compared with the DICOM header's before any
decoder allocates for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
_RGB = (b"RGB", b"rgb")


_JP2 = b"\0\0\0\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOD, _SOT, _COD, _COC, _CAP, _EOC = 0xFF93, 0xFF90, 0xFF52, 0xFF53, 0xFF50, b"\xff\xd9"
_PREDICTABLE = 0x10
"""Bit of the code-block style: predictable termination."""


class CodestreamError(ValueError):
    """The segments of a codestream do not follow each other; the text says how."""


@dataclass(frozen=True)
class Codestream:
    """Size and bits of a frame. ``ybr``: whether three components are luma and chroma; None if it does not say."""

    rows: int
    columns: int
    components: int
    precision: int
    ybr: bool | None = None


def read_jpeg(data: bytes) -> Codestream | None:
    """The frame header of a JPEG or JPEG-LS stream; None if there is none."""
    if not data.startswith(b"\xff\xd8"):
        return None
    offset, ybr = 2, None
    try:
        while True:
            if data[offset] != 0xFF:
                return None
            marker = data[offset + 1]
            if marker == 0xFF:  # fill byte
                offset += 1
                continue
            (length,) = struct.unpack_from(">H", data, offset + 2)
            body = data[offset + 4 : offset + 2 + length]
            if marker in _FRAME_MARKERS:
                precision, rows, columns, components = struct.unpack_from(">BHHB", body)
                if bytes(body[6 : 6 + 3 * components : 3]) in _RGB:
                    ybr = False
                return Codestream(rows, columns, components, precision, ybr)
            if marker == 0xE0 and body.startswith(b"JFIF"):
                ybr = True
            elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12 and ybr is None:
                ybr = True if body[11] == 1 else None
            offset += 2 + length
    except (IndexError, struct.error):
        return None


def codestream_of(data: bytes) -> bytes:
    """The JPEG 2000 codestream itself, out of its boxes where it lies in a JP2 file (ISO 15444-1 annex I)."""
    if not data.startswith(_JP2):
        return data
    offset = 0
    while offset + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        start = offset + 8
        if length == 1 and start + 8 <= len(data):
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if length == 0 else offset + length
        if end < start:
            break
        if kind == b"jp2c":
            return data[start:end]
        offset = end
    return b""


def read_jpeg2000(codestream: bytes) -> Codestream | None:
    """The SIZ segment of a JPEG 2000 or HTJ2K codestream; None if there is none."""
    if not codestream.startswith(_SOC_SIZ):
        return None
    try:
        width, height, left, top = struct.unpack_from(">IIII", codestream, 8)
        (components,) = struct.unpack_from(">H", codestream, 40)
        return Codestream(height - top, width - left, components, (codestream[42] & 0x7F) + 1)
    except (IndexError, struct.error):
        return None


def termination_checked(codestream: bytes) -> bytes:
    """The same codestream, told that code blocks end where their bits do, so that OpenJPEG tells of those that do not.

    The encoder's promise of a predictable termination (annex A.6.1, D.4.2) changes nothing in decoding; what encoders
    that have not promised it leave over is a few bytes. High-throughput code blocks have checks of their own.
    Raises CodestreamError where the segments of the stream do not follow each other to its end.
    """
    result = bytearray(codestream)
    places, high_throughput = _styles(codestream)
    if not high_throughput:
        for place in places:
            result[place] |= _PREDICTABLE
    return bytes(result)


def _styles(codestream: bytes) -> tuple[list[int], bool]:  # noqa: C901 - one walk, one branch a marker
    """Offsets of the code-block styles in main and tile-part headers, and whether the blocks are high-throughput."""
    try:
        places, high_throughput, offset = [], False, 2
        tiles: set[int] = set()
        wide = struct.unpack_from(">H", codestream, 40)[0] > 256
        ends = None  # of the tile part whose header is walked
        while True:
            marker, length = struct.unpack_from(">HH", codestream, offset)
            if marker == _SOD:
                if ends is None:
                    raise CodestreamError("data before a tile")
                offset = ends
                if codestream[offset : offset + 2] == _EOC:
                    if len(tiles) != _tile_count(codestream):
                        raise CodestreamError("tiles of it are missing")
                    return places, high_throughput
                continue
            if marker == _SOT:
                tile, size = struct.unpack_from(">HI", codestream, offset + 4)
                tiles.add(tile)
                ends = offset + size if size else codestream.rstrip(b"\0").rfind(_EOC)
                if ends <= offset:
                    raise CodestreamError("a tile without end")
            elif marker == _COD:
                places.append(offset + 12)
            elif marker == _COC:
                places.append(offset + (10 if wide else 9))
            elif marker == _CAP:
                high_throughput = True
            elif marker < 0xFF30:
                raise CodestreamError("no marker where one must be")
            offset += 2 + length
    except (IndexError, struct.error):
        raise CodestreamError("its end is missing") from None


def _tile_count(codestream: bytes) -> int:
    """Tiles of the grid in the SIZ segment; decoders leave black, without a word, what has no data."""
    width, height, _, _, across, down, left, top = struct.unpack_from(">8I", codestream, 8)
    if not across or not down:
        raise CodestreamError("tiles without size")
    return int(-(-(width - left) // across) * -(-(height - top) // down))
