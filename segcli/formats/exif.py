"""The orientation tag of EXIF and TIFF (values 1-8): read from EXIF data (a TIFF of its own, CIPA DC-008), and from the
pixels as stored to the picture as a viewer shows it.
"""

from __future__ import annotations

import struct
from typing import Any

from numpy.typing import NDArray

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


_TRANSPOSED = frozenset({5, 6, 7, 8})
_COLUMNS_REVERSED = frozenset({2, 3, 6, 7})
_ROWS_REVERSED = frozenset({3, 4, 7, 8})


def transposes(orientation: int) -> bool:
    """Whether rows and columns change places."""
    return orientation in _TRANSPOSED


def as_viewed(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """``[..., row, column]`` as stored → as viewed, a view; any value but 2-8 leaves the pixels as they are."""
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(-1, -2)
    if orientation in _COLUMNS_REVERSED:
        pixels = pixels[..., ::-1]
    if orientation in _ROWS_REVERSED:
        pixels = pixels[..., ::-1, :]
    return pixels
