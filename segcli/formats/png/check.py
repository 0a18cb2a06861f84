"""A PNG looked at strictly before it is decoded: libpng goes on with a warning where this refuses.

Every chunk has its checksum, and the pixel data unpack to exactly what the header announces.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.decoding import decoding
from segcli.formats.png import SIGNATURE
from segcli.formats.png.chunks import GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, Header
from segcli.formats.unpack import MAX_PER_BYTE

MAX_CHUNKS = 100_000
"""In one file; writers cut pixel data into pieces of 8 KiB or more."""

_PIECE = 16 * 1024
_SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Adam7: first row and column, step of rows and columns."""


def check_file(data: bytes, stated: Header) -> None:
    """Raise UnreadableError if a checksum is wrong or the pixel data are too few, too many or cut off.

    ``stated``: the header of ``data``. Raises UnsupportedError for more chunks than MAX_CHUNKS.
    """
    size = _unpacked_size(stated)
    if size > MAX_PER_BYTE * len(data):
        raise UnreadableError("the PNG announces more pixels than its bytes can hold: export it again")
    packed = zlib.decompressobj()
    found = 0
    with decoding("PNG"):
        for piece in _pixel_data(data):
            found += len(packed.decompress(piece))
            if found > size or packed.unused_data:
                raise UnreadableError("the PNG holds more pixel data than its header announces: export it again")
        if found < size or not packed.eof:
            raise EOFError


def check_palette(largest: int, data: bytes) -> None:
    """Raise UnreadableError if the largest palette index has no colour."""
    at = data.find(b"PLTE")
    if at < 4 or 3 * largest >= struct.unpack_from(">I", data, at - 4)[0]:
        raise UnreadableError("the PNG uses colours that its palette does not have: export it again")


def _pixel_data(data: bytes) -> Iterator[bytes]:
    """The pixel data in pieces; every chunk's checksum is looked at on the way."""
    at = len(SIGNATURE)
    view = memoryview(data)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            raise EOFError
        (length,) = struct.unpack_from(">I", data, at)
        kind, stop = data[at + 4 : at + 8], at + 8 + length
        if stop + 4 > len(data):
            raise EOFError
        if zlib.crc32(view[at + 4 : stop]) != struct.unpack_from(">I", data, stop)[0]:
            raise UnreadableError("the PNG is damaged (a checksum does not match): repair it or export it again")
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            for start in range(at + 8, stop, _PIECE):
                yield data[start : min(start + _PIECE, stop)]
        at = stop + 4
    raise UnsupportedError(f"the PNG is cut into more than {MAX_CHUNKS:,} chunks: save it again")


def _unpacked_size(stated: Header) -> int:
    """Bytes of all rows, each with the byte of its filter."""
    bits = stated.depth * _SAMPLES[stated.color]
    passes = _PASSES if stated.interlace else ((0, 0, 1, 1),)
    total = 0
    for row, column, down, right in passes:
        rows = -(-(stated.rows - row) // down)
        columns = -(-(stated.columns - column) // right)
        if rows > 0 and columns > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total
