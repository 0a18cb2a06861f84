"""What a compressed frame says of itself: sizes, precision, colour (ISO 10918-1, 14495-1, 15444-1).

A stream of a few bytes may claim 60,000 x 60,000 pixels; its claim is compared with the DICOM header's before any
decoder allocates for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
_RGB = (b"RGB", b"rgb")


_SOC_SIZ = b"\xff\x4f\xff\x51"


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
