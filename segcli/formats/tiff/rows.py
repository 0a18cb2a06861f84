"""Rows of a TIFF page decoded as they are asked for, so that a page need not fit into memory.

A page is cut into *chunk rows*: the strip, or the row of tiles, that holds a row of pixels. What the last band touched
is kept, for the next one mostly overlaps it, and the chunk row after it is decoded ahead.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError
from segcli.formats.tiff.check import check_segment
from segcli.formats.tiff.fax import is_fax
from segcli.formats.tiff.layout import Stack, ordered

_THREADS = 8
_JPEG = frozenset({6, 7, 34892, 33007})
"""Compressions whose segments lack tables that stand in a tag of the page."""


@dataclass(frozen=True)
class Plane:
    """One page, or one image of the many that lie one after another behind the tags of a single page.

    ``page``: the one whose segments hold the pixels. ``offset``: in bytes, where a plane stored without compression
    in one piece begins; None where segments must be decoded.
    """

    page: Any
    offset: int | None

    @property
    def samples(self) -> int:
        """Number of samples of each pixel."""
        separate, _, _, _, contiguous = self.page.keyframe.shaped
        return int(separate * contiguous)

    @property
    def chunk_rows(self) -> int:
        """Rows that must be decoded together."""
        if self.offset is not None:
            return 1
        keyframe = self.page.keyframe
        return int(keyframe.tilelength if keyframe.is_tiled else keyframe.rowsperstrip)


def planes_of(stack: Stack) -> list[list[Plane]]:
    """For each slice (time by time) the planes that hold its channels, in order."""
    if stack.series is None:
        return [[_plane(page)] for page in stack.pages]
    series = stack.series
    page_axes = series.keyframe.axes
    outer = series.axes.removesuffix(page_axes)
    shape = series.shape[: len(outer)]
    order = ordered(np.arange(math.prod(shape)).reshape(*shape, 1, 1), outer + "YX").reshape(-1)
    channels = shape[outer.index("C")] if "C" in outer else 1
    if series.dataoffset is not None and _is_raw(series.keyframe):
        size = series.keyframe.nbytes
        found = [Plane(series.keyframe, series.dataoffset + int(number) * size) for number in order]
    else:
        pages = list(series.pages)
        found = [_plane(pages[number]) for number in order]
    return [found[start : start + channels] for start in range(0, len(found), channels)]


def cannot_be_banded(stack: Stack) -> str | None:
    """Why the pages of a stack can only be decoded as a whole, in words that end a sentence; None if they need not."""
    page = stack.page
    series = stack.series
    if is_fax(page):
        return "its fax compression (CCITT) is checked as a whole"
    if any(page.keyframe.imagedepth != 1 for page in (stack.pages or (page,))):
        return "its pages are volumes"
    if series is not None and (series.transform is not None or not series.axes.endswith(series.keyframe.axes)):
        return "its planes are arranged in an unusual way"
    if series is not None and series.dataoffset is None and len(series.pages) * page.size != series.size:
        return "its planes are arranged in an unusual way"
    return None


class Rows:
    """The rows of some planes of one file, decoded by a few threads. Not to be used by several threads at once.

    ``descriptor``: of the open file; it stays the caller's to close, after :meth:`close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._threads = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), thread_name_prefix="tiff")
        self._kept: OrderedDict[tuple[int, int], _ChunkRow] = OrderedDict()

    def read(self, planes: Sequence[Plane], start: int, stop: int) -> NDArray[Any]:
        """``[plane, sample, row, column]`` of the rows ``start`` to ``stop`` as stored, native byte order."""
        first = planes[0].page.keyframe
        out = np.empty((len(planes), planes[0].samples, stop - start, first.imagewidth), first.dtype)
        for plane, target in zip(planes, out, strict=True):
            if plane.offset is not None:
                self._read_raw(plane, start, stop, target)
        segmented = [(plane, target) for plane, target in zip(planes, out, strict=True) if plane.offset is None]
        if segmented:
            self._read_segments(segmented, start, stop)
        return out

    def close(self) -> None:
        """End the threads."""
        self._kept.clear()
        self._threads.shutdown(cancel_futures=True)

    def _read_raw(self, plane: Plane, start: int, stop: int, target: NDArray[Any]) -> None:
        """Rows ``start`` to ``stop`` into ``target`` ``[sample, row, column]``."""
        page = plane.page.keyframe
        separate, _, rows, columns, contiguous = page.shaped
        stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        line = columns * contiguous * stored.itemsize
        for number in range(separate):
            at = (plane.offset or 0) + (number * rows + start) * line
            data = _bytes_at(self._descriptor, at, (stop - start) * line)
            values = np.frombuffer(data, stored).reshape(stop - start, columns, contiguous)
            target[number * contiguous : (number + 1) * contiguous] = np.moveaxis(values, -1, 0)

    def _read_segments(self, wanted: Sequence[tuple[Plane, NDArray[Any]]], start: int, stop: int) -> None:
        height = wanted[0][0].chunk_rows
        numbers = range(start // height, -(-stop // height))
        begun = [(plane, target, [self._chunk_row(plane, number) for number in numbers]) for plane, target in wanted]
        ahead = numbers.stop
        if ahead * height < wanted[0][0].page.keyframe.imagelength:
            for plane, _ in wanted:
                self._chunk_row(plane, ahead)
        for _, target, chunks in begun:
            for number, chunk in zip(numbers, chunks, strict=True):
                top = number * height
                low, high = max(start, top), min(stop, top + height)
                view = target.reshape(*chunk.pixels().shape[:2], *target.shape[1:])
                view[:, :, low - start : high - start] = chunk.pixels()[:, :, low - top : high - top]
        while len(self._kept) > len(wanted) * (len(numbers) + 1):
            self._kept.popitem(last=False)

    def _chunk_row(self, plane: Plane, number: int) -> _ChunkRow:
        key = (id(plane.page), number)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = _ChunkRow(plane.page, number, self._descriptor, self._threads)
        self._kept.move_to_end(key)
        return found


class _ChunkRow:
    """One strip or row of tiles of a page (of each separate sample), being decoded from the moment it is made."""

    def __init__(self, page: Any, number: int, descriptor: int, threads: ThreadPoolExecutor) -> None:
        self._page, self._descriptor = page, descriptor
        keyframe = page.keyframe
        separate, _, rows, columns, contiguous = keyframe.shaped
        height = keyframe.tilelength if keyframe.is_tiled else keyframe.rowsperstrip
        across = -(-columns // keyframe.tilewidth) if keyframe.is_tiled else 1
        down = -(-rows // height)
        self._top = number * height
        shape = (separate, min(height, rows - self._top), columns, contiguous)
        self._stored: NDArray[Any] = np.empty(shape, keyframe.dtype)
        segments = [(one * down + number) * across + i for one in range(separate) for i in range(across)]
        # What the tags hold is read from the file at first sight, which the threads must not do at the same time.
        self._decoder = keyframe.decode
        self._tables: dict[str, Any] = {}
        if keyframe.compression in _JPEG:
            self._tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        self._waited: list[Future[None]] = [threads.submit(self._decode, segment) for segment in segments]

    def pixels(self) -> NDArray[Any]:
        """``[separate sample, contiguous sample, row, column]``. Raises what the decoder raised."""
        for future in self._waited:
            future.result()
        self._waited = []
        return np.moveaxis(self._stored, -1, 1)

    def _decode(self, segment: int) -> None:
        page = self._page
        size = int(page.databytecounts[segment])
        data = _bytes_at(self._descriptor, int(page.dataoffsets[segment]), size) if size else None
        check_segment(page.keyframe, data, segment, self._tables.get("jpegtables"))
        pixels, (one, _, row, column, _), shape = self._decoder(data, segment, **self._tables)
        _, rows, columns, _ = self._stored.shape
        row -= self._top
        bottom, right = min(row + shape[1], rows), min(column + shape[2], columns)
        place = (one, slice(row, bottom), slice(column, right))
        self._stored[place] = page.keyframe.nodata if pixels is None else pixels[0, : bottom - row, : right - column]


def _plane(page: Any) -> Plane:
    return Plane(page, page.dataoffsets[0] if _is_raw(page.keyframe) else None)


def _is_raw(keyframe: Any) -> bool:
    return bool(keyframe.is_contiguous) and keyframe.predictor == 1 and keyframe.fillorder == 1


def _bytes_at(descriptor: int, offset: int, count: int) -> bytes:
    """Exactly these bytes; by position, so that threads do not disturb each other. Raises UnreadableError."""
    data = os.pread(descriptor, count, offset)
    while len(data) < count:  # one call hands over 2 GiB at most
        more = os.pread(descriptor, count - len(data), offset + len(data))
        if not more:
            raise UnreadableError("the TIFF is cut off: its pixel data reach beyond the end of the file")
        data += more
    return data
