"""A JPEG stream looked at strictly: its segments, whether its bytes can pay for its size, and what a decoder warns of.

libjpeg goes on over damage and only counts warnings, which imagecodecs and Pillow do not pass on. simplejpeg does, so
it decodes every stream once more. Inside DICOM and TIFF the same holds as in a file of its own.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import simplejpeg

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.decoding import decoding

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header: size, precision, components."""

MAX_SCANS = 100
"""Passes over the image in one stream; encoders make about ten, a hostile file thousands."""

MAX_SEGMENTS = 10_000
"""In a header, and from the first scan to the end; a large colour profile or a thumbnail takes some hundred."""

_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_BLOCK = 64
_BARE = frozenset({0x01, *range(0xD0, SOI + 1)})
_MARKER = re.compile(rb"(?<=\xff)[^\x00\xff]")  # whatever stands before it: libjpeg goes on at the next marker as well
_BEHIND_CODE = re.compile(rb"(?<=\xff)[^\x00\xff\xd0-\xd7]")
"""The marker that ends the code of a scan: no stuffing, no filling, no restart."""


@dataclass(frozen=True)
class Segment:
    """``data[start:stop]`` is the payload behind the marker and its length."""

    marker: int
    start: int
    stop: int


@dataclass(frozen=True)
class Frame:
    """A frame header: its marker, where its precision stands, and what it states."""

    marker: int
    at: int
    precision: int
    rows: int
    columns: int
    components: int

    @property
    def is_whole(self) -> bool:
        """Whether none of its numbers is 0, as the height is of a picture that states it behind its first scan."""
        return all((self.precision, self.rows, self.columns, self.components))

    @staticmethod
    def of(data: bytes, segment: Segment, what: str = "JPEG") -> Frame:
        """Raises UnreadableError for one that is too short."""
        if min(segment.stop, len(data)) - segment.start < 6:
            raise no_header(what)
        return Frame(segment.marker, segment.start, *struct.unpack_from(">BHHB", data, segment.start))


def no_header(what: str) -> UnreadableError:
    """The error of a file whose header ends early."""
    return UnreadableError(f"the {what} has no complete header: export it again")


def segments(data: bytes) -> Iterator[Segment]:
    """Up to the first scan, which is the last; markers without payload are left out.

    Raises UnsupportedError for more than MAX_SEGMENTS.
    """
    found = _MARKER.search(data, 2)
    count = 0
    while found is not None:
        marker, at = data[found.start()], found.end()
        if marker == EOI or at + 2 > len(data):
            return
        if marker not in _BARE:
            count += 1
            if count > MAX_SEGMENTS:
                raise UnsupportedError(f"the JPEG's header has more than {MAX_SEGMENTS:,} segments: save it again")
            stop = at + int.from_bytes(data[at : at + 2], "big")
            yield Segment(marker, at + 2, stop)
            if marker == SOS:
                return
            at = max(at, stop)
        found = _MARKER.search(data, at)


def check_stream(data: bytes, what: str = "JPEG") -> None:
    """Raise UnreadableError for a stream of which libjpeg as much as warns; ``what``: the file, in words.

    Nothing behind the end marker is looked at. Raises UnsupportedError for more scans than MAX_SCANS.
    """
    frame: Frame | None = None
    scan: Segment | None = None
    for segment in segments(data):
        if segment.marker in FRAMES and frame is None:
            frame = Frame.of(data, segment, what)
        elif segment.marker == SOS:
            scan = segment
    if frame is None or scan is None:
        raise no_header(what)
    scans, stop = _scans(data, scan, what)
    data = data[:stop]
    _check_size(data, frame, what)
    if scans > MAX_SCANS:
        raise UnsupportedError(
            f"the {what} is stored in {scans:,} scans, the limit is {MAX_SCANS}: save it again as a plain JPEG"
        )
    if frame.precision != 8:  # simplejpeg reads 8 bits only, but how a stream is packed does not depend on that
        data = b"".join((data[: frame.at], b"\x08", data[frame.at + 1 :]))
    color = "RGB" if frame.marker in _LOSSLESS and frame.components == 3 else "GRAY"
    with decoding(what):
        simplejpeg.decode_jpeg(data, color, strict=True)
    if scans == 1 and frame.marker not in _ARITHMETIC:
        _check_end(data, scan, color, what)


def _scans(data: bytes, first: Segment, what: str) -> tuple[int, int]:
    """(how many scans, where the stream ends: behind the end marker, or with the data where there is none).

    Raises UnsupportedError for more than MAX_SEGMENTS.
    """
    scans, at = 1, first.stop
    for _ in range(MAX_SEGMENTS):
        found = _BEHIND_CODE.search(data, at)
        if found is None:
            return scans, len(data)
        marker, at = data[found.start()], found.end()
        if marker == EOI:
            return scans, at
        scans += marker == SOS
        if marker not in _BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    raise UnsupportedError(f"the {what} has more than {MAX_SEGMENTS:,} segments: save it again")


def _check_end(data: bytes, scan: Segment, color: str, what: str) -> None:
    """The code of an intact stream needs its last byte: with one byte less, libjpeg must complain.

    It passes over up to seven bytes too many without a word; damaged lossless streams often end so.
    """
    end = len(data[:-2].rstrip(b"\xff"))  # filling may stand before the end marker
    last = end - (2 if data[end - 2 : end] == b"\xff\0" else 1)
    if last < scan.stop:
        return
    try:
        simplejpeg.decode_jpeg(data[:last] + data[-2:], color, strict=True)
    except ValueError:
        return
    raise UnreadableError(f"the {what} cannot be decoded (its data are damaged): repair it or export it again")


def _check_size(data: bytes, frame: Frame, what: str) -> None:
    """Each block of 8 x 8 (each pixel of a lossless one) takes one bit at least, but in arithmetic coding."""
    pixels_of_a_byte = 8 if frame.marker in _LOSSLESS else 8 * _BLOCK
    if frame.marker not in _ARITHMETIC and frame.rows * frame.columns > pixels_of_a_byte * len(data):
        raise UnreadableError(f"the {what} announces more pixels than its bytes can hold: export it again")
