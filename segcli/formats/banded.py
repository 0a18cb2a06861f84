"""Images larger than memory: bands of rows that a reader process of their own decodes when they are asked for."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import CaseError, UnreadableError
from segcli.formats import messages
from segcli.formats.reader_client import STOPPED, ReaderClient, ReaderLate, ReaderLost, late
from segcli.image import Geometry, Json

BAND_LIMIT = 600.0
"""Seconds for one band, where the case has no deadline of its own or a later one."""


class OpenCase:
    """A case that lies open in a reader process which serves nothing else. Its parts may be read by several threads.

    ``left``: seconds that all of its bands may take together, or None.
    """

    def __init__(self, client: ReaderClient, left: float | None) -> None:
        self._client: ReaderClient | None = client
        self._left = left
        self._lock = threading.Lock()
        self._lost: CaseError = UnreadableError(STOPPED)
        self._end = weakref.finalize(self, client.kill)

    @property
    def pid(self) -> int | None:
        """Of the reader process; None once it is gone."""
        client = self._client
        return None if client is None else client.pid

    def band(self, part: int, slice_index: int, row_start: int, row_stop: int) -> NDArray[Any]:
        """``[channel, row, column]``. Raises the CaseError of damaged data, of a lost reader or of a deadline."""
        request = {"do": "band", "part": part, "slice": slice_index, "rows": [row_start, row_stop]}
        with self._lock:
            client = self._client
            if client is None:
                raise self._lost
            seconds = BAND_LIMIT if self._left is None else min(self._left, BAND_LIMIT)
            begun = time.monotonic()
            try:
                answer, arrays = client.fetch(request, seconds)
            except ReaderLost:
                raise self._lose(client.loss()) from None
            except ReaderLate:
                raise self._lose(late(seconds)) from None
            if self._left is not None:
                self._left = max(0.0, self._left - (time.monotonic() - begun))
        pixels: NDArray[Any] = messages.images_from(answer["parts"], arrays)[0].pixels[0]
        return pixels

    def close(self) -> None:
        """End the reader. May be called again; bands asked for later are an error of the case."""
        with self._lock:
            self._client = None
            self._end()

    def _lose(self, error: CaseError) -> CaseError:
        self._lost, self._client = error, None
        self._end()
        return error


class BandedImage:
    """One part of an open case; a :class:`segcli.image.BandSource` that is never padded."""

    valid: NDArray[np.bool_] | None = None

    def __init__(self, case: OpenCase, part: int, told: Json) -> None:
        self._case, self._part = case, part
        slices, channels, rows, columns = (int(side) for side in told["shape"])
        self.shape: tuple[int, int, int, int] = (slices, channels, rows, columns)
        self.dtype: np.dtype[Any] = np.dtype(str(told["dtype"]))
        self.geometry = Geometry.from_json(told["geometry"])
        self.extra: Mapping[str, Json] = told["extra"]

    def read(self, slice_index: int, row_start: int, row_stop: int) -> NDArray[Any]:
        """``[channel, row, column]`` of these rows; see :meth:`OpenCase.band`."""
        return self._case.band(self._part, slice_index, row_start, row_stop)

    def close(self) -> None:
        """End the reader process of the case, whose other parts cannot be read any more either."""
        self._case.close()
