"""The orientation that EXIF data state (a TIFF of its own, CIPA DC-008)."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_NUMBERS = {1: "B", 3: "H", 4: "I"}
"""Types of a whole number in EXIF (BYTE, SHORT, LONG)."""


def exif_orientation(tiff: bytes) -> int:
    """1-8, of the first directory (TIFF 6.0); damaged EXIF counts as 1, for viewers show such files unturned."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, entry)
            if tag == _ORIENTATION and kind in _NUMBERS and values == 1:
                (value,) = struct.unpack_from(order + _NUMBERS[kind], tiff, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
