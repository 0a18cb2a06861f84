"""JPEG 2000, decoded so that damage is noticed (ISO 15444-1): in DICOM and TIFF alike.

OpenJPEG warns of damage; imagecodecs logs it, if asked, and returns a plausible image all the same.
"""

from __future__ import annotations

import logging
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError, UnsupportedError

_JP2 = b"\0\0\0\x0cjP  "
_SOD, _SOT, _COD, _COC, _CAP, _EOC = 0xFF93, 0xFF90, 0xFF52, 0xFF53, 0xFF50, b"\xff\xd9"
_PREDICTABLE = 0x10
"""Bit of the code-block style: predictable termination."""

_TERMINATION = re.compile(r"PTERM check failure: (\d+) (remaining|synth)")
_LEFT, _MISSED = 4, 6
"""Bytes which code blocks of intact streams, by whatever encoder, leave unread or lack (seen at most: 2 and 4)."""

_MOST = 1000


class CodestreamError(ValueError):
    """The segments of a codestream do not follow each other; the text says how."""


class _Ear(logging.Handler):
    """Keeps what is logged in the thread that listens: OpenJPEG, told to use no others, logs in the calling thread."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        messages: list[str] | None = getattr(self.heard, "messages", None)
        if messages is not None and len(messages) < _MOST:
            messages.append(record.getMessage())


_EAR = _Ear()


@contextmanager
def listening() -> Iterator[list[str]]:
    """What imagecodecs logs in this thread within the block."""
    logger = logging.getLogger("imagecodecs")
    if _EAR not in logger.handlers:
        logger.addHandler(_EAR)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    messages: list[str] = []
    _EAR.heard.messages = messages
    try:
        yield messages
    finally:
        _EAR.heard.messages = None


def is_damage(message: str) -> bool:
    """Anything that OpenJPEG says, but of a code block that ends within a few bytes of its bits."""
    found = _TERMINATION.search(message)
    return found is None or int(found[1]) > (_LEFT if found[2] == "remaining" else _MISSED)


@cache
def check_hearing() -> None:
    """Raise UnsupportedError if the imagecodecs installed hides warnings: its silence would then mean nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    stream = bytearray(imagecodecs.jpeg2k_encode(noise, codecformat="j2k", reversible=True, level=0))
    stream[len(stream) // 2] ^= 0xFF
    with listening() as messages:
        imagecodecs.jpeg2k_decode(termination_checked(bytes(stream)), verbose=2, numthreads=1)
    if not messages:
        raise UnsupportedError("the imagecodecs installed hides what OpenJPEG warns of: install another version")


def decode_strictly(codestream: bytes, what: str) -> NDArray[Any]:
    """The image; ``what``: where it lies, in words.

    Raises UnreadableError if OpenJPEG as much as warns, CodestreamError where segments do not follow each other.
    """
    check_hearing()
    checked = termination_checked(codestream)
    with listening() as messages:
        array = np.asarray(imagecodecs.jpeg2k_decode(checked, verbose=2, numthreads=1))
    if any(map(is_damage, messages)):
        raise UnreadableError(f"its decoder warns that a {what} is damaged: export it again from where it came")
    return array


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
