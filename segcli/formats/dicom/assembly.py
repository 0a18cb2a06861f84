"""The pixels of a case as they are filled in, slice by slice, from several threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError, UnsupportedError

_NARROW = np.dtype(np.int16)


class Assembly:
    """``[slice, channel, row, column]`` and, as soon as one is needed, the mask of pixels that mean something.

    ``dtype``: NumPy type that holds every value the headers allow, or None if the first slice tells. Headers allow more
    than pixels use (16 bits and an intercept need 32): whole numbers stay in 16 bits until a value needs more.
    """

    def __init__(self, slices: int, dtype: str | None) -> None:
        self._slices = slices
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._pixels: NDArray[Any] | None = None
        self._valid: NDArray[np.bool_] | None = None
        self._lock = threading.Lock()

    def put(self, place: int, values: NDArray[Any]) -> None:
        """A slice ``[channel, row, column]``. Raises UnsupportedError if it is of another kind than the first."""
        with self._lock:
            target = self._room(values.shape, self._dtype or values.dtype)[place]
            if target.shape != values.shape or not np.can_cast(values.dtype, target.dtype):
                raise UnsupportedError("slices of different colour or depth in one stack")
            target[...] = values

    def put_whole(self, place: int, stored: NDArray[Any], offset: int) -> None:
        """A grey slice ``[row, column]`` of integers, to which ``offset`` is added without loss."""
        lowest, highest = int(stored.min()) + offset, int(stored.max()) + offset
        with self._lock:
            target = self._room_for(lowest, highest, (1, *stored.shape))[place, 0]
            # Two's complement: what wraps round on the way comes out right, for the result fits.
            wrapped = np.array(offset % (1 << 8 * target.itemsize), f"u{target.itemsize}").view(target.dtype)
            np.add(stored.astype(target.dtype, copy=False), wrapped, out=target)

    def put_valid(self, place: int, valid: NDArray[np.bool_]) -> None:
        """Which pixels of a slice mean something; all of them where this is not called."""
        with self._lock:
            if self._valid is None:
                self._valid = np.ones((self._slices, *valid.shape), np.bool_)
            self._valid[place] = valid

    def result(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Pixels, and the mask or None if all pixels mean something."""
        if self._pixels is None:
            raise UnreadableError("the case holds no slice")
        return self._pixels, self._valid

    def _room_for(self, lowest: int, highest: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array, in a type that holds whole numbers from ``lowest`` to ``highest``."""
        enough = self._dtype or np.dtype(np.int64)
        fits = np.iinfo(_NARROW).min <= lowest and highest <= np.iinfo(_NARROW).max
        narrow = enough.kind == "i" and enough.itemsize > _NARROW.itemsize and fits
        pixels = self._room(shape, _NARROW if narrow else enough)
        if pixels.dtype == _NARROW and enough != _NARROW and not fits:
            pixels = self._pixels = pixels.astype(enough)
        return pixels

    def _room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        if self._pixels is None:
            self._pixels = np.empty((self._slices, *shape), dtype)
        return self._pixels
