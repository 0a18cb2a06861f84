"""Deflate streams, unpacked to the size that a checked header declares and never further.

Memory grows with what really comes out, time with the bytes that go in. Raises zlib.error for a damaged stream and
EOFError for one that ends early: call it inside :func:`segcli.formats.decoding.decoding`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SURPLUS = "one of the two is wrong, export the volume again"
"""What is said where more data stand than the header accounts for: its sizes or type may be wrong."""

GZIP = 16 + zlib.MAX_WBITS
ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS

MAX_PER_BYTE = 1032
"""Bytes that one deflated byte can become."""

_IN = 1 << 14
_OUT = 1 << 20


def unpack(
    packed: bytes | memoryview, size: int, *, skip: int = 0, window: int = GZIP, several: bool = True
) -> tuple[NDArray[np.uint8], bool]:
    """(``size`` bytes that stand behind the first ``skip``, whether they are the last ones).

    Unless more follow, the stream is unpacked to its end, for the checksum stands there.
    ``window``: zlib's ``wbits``. ``several``: further streams may follow the first, as in gzip files.
    """
    if size + skip > MAX_PER_BYTE * len(packed):
        raise EOFError
    out = np.empty(size, np.uint8)  # its pages take no memory before they are written to
    have = -skip
    for piece in _pieces(memoryview(packed), window, several):
        wanted = piece[max(0, -have) : max(0, size - have)]
        if wanted:
            start = max(0, have)
            out[start : start + len(wanted)] = np.frombuffer(wanted, np.uint8)
        have += len(piece)
        if have > size:
            break  # it is refused for that: no need to see how much more there is
    if have < size:
        raise EOFError
    return out, have == size


def unpack_start(packed: bytes, most: int) -> bytes:
    """The first ``most`` bytes, or fewer where the stream has no more."""
    start = b""
    for piece in _pieces(memoryview(packed), GZIP, several=True, most=most):
        start += piece[: most - len(start)]
        if len(start) == most:
            break
    return start


def _pieces(packed: memoryview, window: int, several: bool, most: int = _OUT) -> Iterator[bytes]:
    """What comes out, at most ``most`` bytes at a time."""
    at = 0
    while at < len(packed):
        unpacker = zlib.decompressobj(wbits=window)
        while not unpacker.eof:
            chunk = packed[at : at + _IN]
            at += len(chunk)
            piece = unpacker.decompress(chunk, most)
            if not (chunk or piece or unpacker.eof):
                raise EOFError
            yield piece
            while unpacker.unconsumed_tail and not unpacker.eof:
                yield unpacker.decompress(unpacker.unconsumed_tail, most)
        at -= len(unpacker.unused_data)
        if not several:
            return
        while at < len(packed) and packed[at] == 0:  # padding of tapes
            at += 1
