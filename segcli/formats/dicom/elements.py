"""Walking a data set in Explicit VR Little Endian from its first byte to its last (PS3.5 section 7).

Deflated data carry no checksum here: damage that zlib does not notice shows in elements that no longer follow each
other, and libraries read over that.
"""

from __future__ import annotations

import struct

from segcli.formats.dicom.recognise import VALUE_REPRESENTATIONS

_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 32


class BrokenElementsError(ValueError):
    """Elements that are out of order, of no known VR, or longer than what holds them."""


def check_elements(data: bytes) -> None:
    """Raise BrokenElementsError unless ``data`` is a sequence of elements that ends with the data."""
    try:
        end = _elements(data, 0, len(data), _DEEPEST)
    except (struct.error, IndexError):
        raise BrokenElementsError from None
    if end != len(data):
        raise BrokenElementsError


def _elements(data: bytes, offset: int, end: int, deeper: int) -> int:
    """The offset behind the last element before ``end`` or before the mark that ends an item."""
    last = -1
    while offset < end:
        group, element = struct.unpack_from("<HH", data, offset)
        tag = group << 16 | element
        if tag == _ITEM_END:
            return offset
        representation = data[offset + 4 : offset + 6]
        if tag <= last or representation not in VALUE_REPRESENTATIONS:
            raise BrokenElementsError
        last = tag
        if representation in _LONG:
            (length,) = struct.unpack_from("<I", data, offset + 8)
            offset += 12
        else:
            (length,) = struct.unpack_from("<H", data, offset + 6)
            offset += 8
        if length == _UNDEFINED or (representation == b"SQ" and length):
            offset = _items(data, offset, end if length == _UNDEFINED else offset + length, length, deeper - 1)
        else:
            offset += length
        if offset > end:
            raise BrokenElementsError
    return offset


def _items(data: bytes, offset: int, end: int, length: int, deeper: int) -> int:
    """The offset behind a sequence, or behind the fragments of an encapsulated value."""
    if not deeper:
        raise BrokenElementsError
    while length == _UNDEFINED or offset < end:
        group, element, size = struct.unpack_from("<HHI", data, offset)
        tag = group << 16 | element
        offset += 8
        if tag == _SEQUENCE_END and length == _UNDEFINED:
            return offset
        if tag != _ITEM:
            raise BrokenElementsError
        if size != _UNDEFINED:
            if offset + size > end:
                raise BrokenElementsError
            offset += size
            continue
        offset = _elements(data, offset, end, deeper)
        if struct.unpack_from("<HH", data, offset) != (_ITEM_END >> 16, _ITEM_END & 0xFFFF):
            raise BrokenElementsError
        offset += 8
    if offset != end:
        raise BrokenElementsError
    return offset
