"""Parts of a TIFF too large to be held: the file stays open, and each band is decoded when it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats import limits
from segcli.formats.decoding import decoding
from segcli.formats.interface import ReadRequest, ReadResult
from segcli.formats.limits import check_pixels, check_slices, held_pixels
from segcli.formats.pixels import reconcile
from segcli.formats.tiff.layout import Stack, check_stored, layout
from segcli.formats.tiff.metadata import orientation
from segcli.formats.tiff.opening import opened
from segcli.formats.tiff.rows import Plane, Rows, cannot_be_banded, planes_of
from segcli.formats.tiff.samples import intensities
from segcli.image import Geometry, Json
from segcli.regular_file import open_regular

_ONE_PIECE = "its rows are packed in one piece: save it in tiles to have it read in bands"
_TURNED = "it is stored turned: save it upright to have it read in bands"
_NOT_FINITE = "it holds pixels that are no finite number: replace them to have it read in bands"
_PAID_BY_A_BYTE = 2048
"""Bytes of pixels that a byte of the file may stand for in an image beyond --max-pixels; deflate makes 1032 of one."""

_LOOKED_AT = 2**22
"""Pixels looked at in one go."""

_UNUSUAL = "{}: save it as plain tiled pages to have it read in bands"


def in_bands(stacks: Sequence[Stack], size: int, request: ReadRequest) -> bool:
    """Whether an image of these stacks, in a file of ``size`` bytes, is to be read in bands instead of being held.

    Raises UnsupportedError if it has more slices than its file may, or must be held but has too many pixels for it.
    """
    check_slices(sum(stack.times * stack.slices for stack in stacks), size, request.max_pixels)
    count = sum(stack.times * stack.slices * stack.rows * stack.columns for stack in stacks)
    channels, itemsize = _widest(stacks)
    for stack in stacks:
        # A tile larger than the image is padding that must be decoded all the same.
        check_pixels(stack.page.tilewidth * stack.page.tilelength, 1, max(request.max_pixels, 1))
    if request.hold_pixels is None or held_pixels(count, channels, itemsize) <= request.hold_pixels:
        check_pixels(count, channels, request.max_pixels, itemsize=itemsize)
        return False
    reasons = (_must_be_held(stack, request) for stack in stacks)
    why = next((reason for reason in reasons if reason is not None), None)
    if why is None:
        if count > request.max_pixels and count * channels * itemsize > _PAID_BY_A_BYTE * size:
            raise UnsupportedError(
                f"it announces {count:,} pixels in {size:,} bytes, more than these can hold: "
                "raise --max-pixels above them if they are real"
            )
        return True
    check_pixels(count, channels, request.max_pixels, why, itemsize)
    return False


def can_be_banded(stack: Stack) -> bool:
    """Whether a stack will certainly be read in bands where it is too large to hold; of floats that is seen later."""
    page = stack.page
    return page.dtype.kind != "f" and _must_be_held(stack, ReadRequest(max_pixels=2**62)) is None


def open_bands(path: Path, request: ReadRequest) -> ReadResult | None:
    """The parts of an image left open in its file; None if it is to be held.

    Raises UnreadableError or UnsupportedError, as reading all of it would.
    """
    with ExitStack() as resources, decoding("TIFF"):
        stream = resources.enter_context(open_regular(path))
        size = os.fstat(stream.fileno()).st_size
        tif = resources.enter_context(opened(stream, path.name))
        check_slices(len(tif.pages), size, request.max_pixels)
        stacks, told = layout(tif)
        if not in_bands(stacks, size, request):
            return None
        warnings = [*told, *(warning for stack in stacks for warning in check_stored(stack, size))]
        rows = Rows(stream.fileno())
        resources.callback(rows.close)
        bands = [part for index, stack in enumerate(stacks) for part in _parts(stack, index, rows, request)]
        for part in bands:
            part.look()
        if not all(part.is_finite() for part in bands):
            count = sum(part.shape[0] * part.shape[2] * part.shape[3] for part in bands)
            channels, itemsize = _widest(stacks)
            check_pixels(count, channels, request.max_pixels, _NOT_FINITE, itemsize)
            return None
        kept = resources.pop_all()
    for part in bands:
        part.owns(kept)
    return ReadResult((), tuple(dict.fromkeys(warnings)), tuple(bands))


class TiffBands:
    """One part: ``planes`` of each of its slices. The :class:`segcli.formats.interface.OpenBands` of TIFF."""

    valid: NDArray[np.bool_] | None = None

    def __init__(
        self, stack: Stack, planes: Sequence[Sequence[Plane]], rows: Rows, request: ReadRequest, extra: dict[str, Json]
    ) -> None:
        self._stack, self._planes, self._rows, self._request = stack, planes, rows, request
        self._file: ExitStack | None = None
        self._first: tuple[int, np.dtype[Any]] = (0, np.dtype(np.uint8))
        self.extra: Mapping[str, Json] = extra

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of slices, channels, rows, columns."""
        return len(self._planes), self._first[0], self._stack.rows, self._stack.columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels that :meth:`read` gives."""
        return self._first[1]

    @property
    def geometry(self) -> Geometry:
        """Spacing as OME or ImageJ state it."""
        return self._stack.geometry

    def look(self) -> None:
        """Learn channels and type from the first row; raises what decoding it raises."""
        row = self.read(0, 0, 1)
        self._first = row.shape[0], row.dtype

    def is_finite(self) -> bool:
        """Whether no pixel is NaN or infinite; floats are read through for it.

        What stands in for such a pixel (:mod:`segcli.formats.pixels`) can only be told from all of the image.
        """
        step = max(1, _LOOKED_AT // self._stack.columns)
        return self.dtype.kind != "f" or all(
            bool(np.isfinite(self.read(index, row, row + step)).all())
            for index in range(len(self._planes))
            for row in range(0, self._stack.rows, step)
        )

    def owns(self, file: ExitStack) -> None:
        """What to close in the end; parts of one file share it."""
        self._file = file

    def read(self, slice_index: int, row_start: int, row_stop: int) -> NDArray[Any]:
        """``[channel, row, column]``, channels reconciled with the request.

        Raises UnreadableError for damaged data, UnsupportedError for transparent pixels.
        """
        planes, row_stop = self._planes[slice_index], min(row_stop, self._stack.rows)
        with decoding("TIFF"), limits.allowing(self._most(planes, row_stop - row_start)):
            stored = self._rows.read(planes, row_start, row_stop)
            # Pages have palettes of their own; the frames of a series have no tags.
            page = self._stack.page if self._stack.series is not None else planes[0].page
            pixels, names = intensities(stored, page)
            if len(pixels) > 1:  # planes of channels, one behind the other
                pixels = pixels.reshape(1, -1, *pixels.shape[2:])
                names = tuple(str(number) for number in range(pixels.shape[1]))
            band: NDArray[Any] = reconcile(pixels, names, self._request)[0]
            return band

    def _most(self, planes: Sequence[Plane], rows: int) -> int:
        """Bytes that a band of so many rows takes, with the chunk rows that are kept and decoded ahead."""
        chunk = max(plane.chunk_rows for plane in planes)
        pixels: int = (rows + 4 * chunk) * max(self._stack.columns, self._stack.page.tilewidth)
        return limits.COPIES * pixels * max(self._stack.channels, len(planes)) * self._stack.itemsize

    def close(self) -> None:
        """Close the file, of all parts."""
        if self._file is not None:
            self._file.close()


@contextmanager
def open_labels(path: Path) -> Iterator[tuple[TiffBands, ...]]:
    """The parts of a mask of ours, numbers as stored, for as long as the block lasts."""
    with decoding("TIFF mask"), open_regular(path) as stream, opened(stream, path.name) as tif:
        rows = Rows(stream.fileno())
        try:
            stacks, _ = layout(tif)
            parts = [part for i, stack in enumerate(stacks) for part in _parts(stack, i, rows, ReadRequest())]
            for part in parts:
                part.look()
            yield tuple(parts)
        finally:
            rows.close()


def _parts(stack: Stack, index: int, rows: Rows, request: ReadRequest) -> list[TiffBands]:
    planes = planes_of(stack)
    if len(planes) != stack.times * stack.slices:
        raise UnreadableError("the TIFF announces another number of planes than it holds: export it again")
    wanted = stack.by_number(request)
    cuts = range(0, len(planes), stack.slices)
    return [TiffBands(stack, planes[cut : cut + stack.slices], rows, wanted, stack.notes(index)) for cut in cuts]


def _widest(stacks: Sequence[Stack]) -> tuple[int, int]:
    """Channels and bytes of a number of the stack that has the most."""
    return max(stack.channels for stack in stacks), max(stack.itemsize for stack in stacks)


def _must_be_held(stack: Stack, request: ReadRequest) -> str | None:
    reason = cannot_be_banded(stack)
    if reason is not None:
        return _UNUSUAL.format(reason)
    if any(orientation(page) != 1 for page in (stack.pages or (stack.page,))):
        return _TURNED
    height = max(plane.chunk_rows for planes in planes_of(stack) for plane in planes)
    at_once = held_pixels(height * stack.columns, stack.channels, stack.itemsize)
    return _ONE_PIECE if height >= stack.rows or at_once > request.max_pixels else None
