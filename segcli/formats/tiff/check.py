"""Compressed TIFF data looked at strictly: what a decoder warns of, or passes over, fails the case.

The other compressions have checksums, or decoders that say so themselves, or (no compression) nothing to look at.
"""

from __future__ import annotations

import lzma
import math
from typing import Any

import imagecodecs
import tifffile

from segcli.errors import UnreadableError
from segcli.formats.decoding import decoding
from segcli.formats.jpeg.stream import check_stream
from segcli.formats.jpeg_2000 import CodestreamError, codestream_of, decode_strictly
from segcli.formats.tiff.fax import check_fax

_JPEG = frozenset({tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.ALT_JPEG, tifffile.COMPRESSION.JPEG_LOSSY})
_JPEG_2000 = frozenset(
    {
        tifffile.COMPRESSION.JPEG2000,
        tifffile.COMPRESSION.JPEG_2000_LOSSY,
        tifffile.COMPRESSION.APERIO_JP2000_RGB,
    }
)
_OF_ANY_LENGTH = frozenset({tifffile.COMPRESSION.LZW, tifffile.COMPRESSION.LZMA})
"""What tifffile cuts to the length that it must have; it refuses other compressions of another length itself."""

_PADDING = 3
"""Bytes by which programs fill up uncompressed data to whole words."""

_WRONG_LENGTH = "the TIFF is damaged (a strip or tile has another length than it must): export it again"


def check_page(page: Any) -> None:
    """Raise UnreadableError if a strip or tile of a page is damaged, as far as its compression can show it."""
    check_fax(page)
    compression = page.keyframe.compression
    if compression == tifffile.COMPRESSION.NONE:
        for index, count in enumerate(page.databytecounts):
            _check_uncompressed(page.keyframe, count, index)
        return
    if compression not in _JPEG | _JPEG_2000 | _OF_ANY_LENGTH:
        return
    tables = page.jpegtables if compression in _JPEG else None
    file = page.parent.filehandle
    for data, index in file.read_segments(page.dataoffsets, page.databytecounts, sort=False):
        check_segment(page.keyframe, data, index, tables)


def check_segment(keyframe: Any, data: bytes | None, index: int, tables: bytes | None) -> None:
    """The same for one strip or tile. ``tables``: the page's JPEGTables, which every segment shares."""
    if not data:
        return
    if keyframe.compression in _JPEG:
        if keyframe.jpegheader is not None:  # a piece between restart markers (NDPI) is no stream of its own
            return
        if tables and data[:2] == b"\xff\xd8":
            data = tables.removesuffix(b"\xff\xd9") + data[2:]
        check_stream(data, "JPEG in the TIFF")
        return
    if keyframe.compression in _JPEG_2000:
        _check_jpeg_2000(data)
        return
    if keyframe.compression == tifffile.COMPRESSION.NONE:
        _check_uncompressed(keyframe, len(data), index)
        return
    if keyframe.compression not in _OF_ANY_LENGTH:
        return
    if keyframe.fillorder == 2:
        data = bytes(imagecodecs.bitorder_decode(data))
    sizes = _sizes(keyframe, index)
    if keyframe.compression == tifffile.COMPRESSION.LZMA:
        with decoding("TIFF"):
            length = len(lzma.LZMADecompressor().decompress(data, max(sizes) + 1))
    else:
        length = len(imagecodecs.lzw_decode(data, out=max(sizes) + 1))  # it stops without a word where out is full
    if length not in sizes:
        raise UnreadableError(_WRONG_LENGTH)


def _check_uncompressed(keyframe: Any, count: int, index: int) -> None:
    if count > max(_sizes(keyframe, index)) + _PADDING:
        raise UnreadableError(_WRONG_LENGTH)


def _sizes(keyframe: Any, index: int) -> set[int]:
    """Bytes that a strip or tile may have, unpacked."""
    _, _, shape = keyframe.decode(None, index)
    return {_bytes_of(keyframe, rows, shape) for rows in (shape[1], _full_height(keyframe))}


def _check_jpeg_2000(data: bytes) -> None:
    with decoding("TIFF"):
        try:
            decode_strictly(codestream_of(data), "strip or tile of the TIFF")
        except CodestreamError as error:
            raise UnreadableError(f"a strip or tile of the TIFF is damaged ({error}): export it again") from None


def _full_height(keyframe: Any) -> int:
    """Rows of a whole strip or tile; some programs fill up the last one."""
    return int(keyframe.tilelength if keyframe.is_tiled else keyframe.rowsperstrip)


def _bytes_of(keyframe: Any, rows: int, shape: tuple[int, ...]) -> int:
    depth, _, columns, samples = shape
    return depth * rows * math.ceil(columns * samples * int(keyframe.bitspersample) / 8)
