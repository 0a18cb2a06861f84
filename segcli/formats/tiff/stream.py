"""A TIFF mask written while it comes into being: rows in, tiles out, by a thread that may lag a little behind."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.formats.tiff.write import MaskPart, write_blocks
from segcli.image import BandSource

_BEHIND = 2
"""Blocks that may wait for the disk."""

_TICK = 0.2
STALLED = 600.0
"""Seconds after which a disk that takes nothing is given up."""


def open_stream(target: Path, parts: Sequence[BandSource], dtype: np.dtype[Any]) -> TiffMaskStream:
    """The same file as :func:`segcli.formats.tiff.codec.write` makes, from bands."""
    return TiffMaskStream(target, [MaskPart(extent(part.shape), part.extra) for part in parts], dtype)


def extent(shape: Sequence[int]) -> tuple[int, int, int]:
    """Slices, rows, columns of an image or a mask."""
    return shape[0], shape[-2], shape[-1]


class TiffMaskStream:
    """The :class:`segcli.formats.interface.MaskStream` of TIFF."""

    def __init__(self, target: Path, parts: Sequence[MaskPart], dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._heights = ((part.block_rows, *part.shape[1:]) for part in parts for _ in range(part.shape[0]))
        self._block: NDArray[Any] = np.empty((0, 0), dtype)
        self._filled = self._missing = 0
        self._height = 0
        self._waiting: queue.Queue[NDArray[Any]] = queue.Queue(_BEHIND)
        self._given_up = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(target, parts), name="tiff-mask", daemon=True)
        self._thread.start()

    def write(self, labels: NDArray[Any]) -> None:
        """The next rows ``[row, column]`` of the slice at hand. Raises OSError, or what the encoder raised."""
        while len(labels):
            if not self._missing:
                self._height, self._missing, columns = next(self._heights)
                self._start_block(columns)
            count = min(len(labels), len(self._block) - self._filled)
            self._block[self._filled : self._filled + count] = labels[:count]
            self._filled += count
            self._missing -= count
            labels = labels[count:]
            if self._filled == len(self._block):
                self._put(self._block)
                self._start_block(self._block.shape[1])

    def finish(self) -> None:
        """Wait until all rows lie in the file. Raises as :meth:`write`."""
        end = time.monotonic() + STALLED
        while self._thread.is_alive():
            self._thread.join(_TICK)
            self._check(end)
        self._check(end)

    def abort(self) -> None:
        """End the thread; what it has written is worth nothing."""
        self._given_up.set()
        self._thread.join(STALLED)

    def _start_block(self, columns: int) -> None:
        self._filled = 0
        self._block = np.empty((min(self._height, self._missing), columns), self._dtype)

    def _put(self, block: NDArray[Any]) -> None:
        end = time.monotonic() + STALLED
        while True:
            self._check(end)
            try:
                self._waiting.put(block, timeout=_TICK)
            except queue.Full:
                continue
            return

    def _check(self, end: float) -> None:
        if self._error is not None:
            raise self._error
        if time.monotonic() > end:
            raise TimeoutError(f"nothing was taken within {STALLED:g} seconds")

    def _run(self, target: Path, parts: Sequence[MaskPart]) -> None:
        try:
            write_blocks(target, parts, self._dtype, self._blocks())
        except Exception as error:  # noqa: BLE001 - it belongs to whoever writes
            self._error = error

    def _blocks(self) -> Iterator[NDArray[Any]]:
        while True:
            try:
                block = self._waiting.get(timeout=_TICK)
            except queue.Empty:
                if self._given_up.is_set():
                    raise _GivenUpError from None
                continue
            yield block


class _GivenUpError(Exception):
    """The mask is not wanted any more."""
