"""The rows of a unit that a row of tiles sees: read once, sent to the device once, normalised and resampled there.

The *rows* of a unit run along its first axis: image rows of a 2-D unit, slices of a 3-D unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcli.engine.resample import Resample
from segcli.engine.statistics import Normalisation
from segcli.engine.tiles import Layout
from segcli.image import BandSource, Image


class PatchRowReader:
    """``slices``: those a 2-D network sees as channels; None for a 3-D unit, which is the whole stack.

    Rows must be asked for from the first to the last; those already passed are forgotten.
    """

    def __init__(
        self,
        source: BandSource,
        slices: Sequence[int] | None,
        norm: Normalisation,
        stored: Sequence[int],
        grid: Sequence[int],
        device: torch.device,
    ) -> None:
        self._axes = [Resample(old, new) for old, new in zip(stored, grid, strict=True)]
        self._norm = norm
        self._slices = slices
        readers = {None: _stack(source)} if slices is None else {i: _plane(source, i) for i in slices}
        # beyond what float32 holds exactly an offset must go before the cast, or it takes the image with it
        self._early = is_wide(source.dtype)
        self._raw = {
            index: _RawRows(_less(read, norm.offset, index) if self._early else read, device)
            for index, read in readers.items()
        }

    def at(self, start: int, layout: Layout) -> Tensor:
        """``[channel, *spatial]`` float32: the padded rows seen by tiles whose corner has the first index ``start``."""
        wanted = layout.sources[0][start : start + layout.tile[0]]
        low, high = int(wanted.min()), int(wanted.max()) + 1
        strip = self.rows(low, high)
        if len(wanted) != high - low or layout.pad[0] != (0, 0):
            strip = strip.index_select(1, torch.from_numpy(wanted - low).to(strip.device))
        for axis, (pixels, pad) in enumerate(zip(layout.sources[1:], layout.pad[1:], strict=True), start=2):
            if pad != (0, 0):
                strip = strip.index_select(axis, torch.from_numpy(pixels).to(strip.device))
        return strip

    def rows(self, start: int, stop: int) -> Tensor:
        """``[channel, row, ...]`` float32, rows ``start`` to ``stop`` of the network's grid."""
        low, high = self._axes[0].needs(start, stop)
        found: dict[int | None, Tensor] = {}
        for index, raw in self._raw.items():
            values = self._normalised(raw.take(low, high), slice(low, high) if index is None else index)
            for axis, resample in enumerate(self._axes[1:], start=2):
                values = resample.apply(values, axis, 0, resample.new)
            found[index] = self._axes[0].apply(values, 1, start, stop, low)
        if self._slices is None or len(self._slices) == 1:
            return next(iter(found.values()))
        return torch.cat([found[index] for index in self._slices])

    def _normalised(self, raw: Tensor, which: int | slice) -> Tensor:
        """``raw`` ``[channel, row, ...]`` of one slice or of a stretch of them."""
        offset, scale = (
            _tensor(values[which].T, raw.device).reshape(len(raw), -1, *[1] * (raw.ndim - 2))
            for values in (self._norm.offset, self._norm.scale)
        )
        values = (raw.to(torch.float32) - (0 if self._early else offset)) * scale
        return values.clamp_(0, 1) if self._norm.clip else values


class _RawRows:
    """A window of rows, as stored, on the device; rows that are there already are neither read nor sent again."""

    def __init__(self, read: Callable[[int, int], NDArray[Any]], device: torch.device) -> None:
        self._read, self._device = read, device
        self._rows: Tensor | None = None
        self._start = 0

    def take(self, start: int, stop: int) -> Tensor:
        """``[channel, row, ...]`` of the rows ``start`` to ``stop``."""
        if self._rows is not None and self._start <= start < self._start + self._rows.shape[1]:
            kept = self._rows[:, start - self._start :]
            end = start + kept.shape[1]
            self._rows = torch.cat([kept, self._sent(end, stop)], dim=1) if end < stop else kept
        else:
            self._rows = self._sent(start, stop)
        self._start = start
        return self._rows[:, : stop - start]

    def _sent(self, start: int, stop: int) -> Tensor:
        return _tensor(self._read(start, stop), self._device)


def _tensor(values: NDArray[Any], device: torch.device) -> Tensor:
    if values.dtype.itemsize > 4:  # what the network computes in, and some devices know no double
        values = values.astype(np.float32)
    values = np.ascontiguousarray(values)
    tensor = torch.from_numpy(values if values.flags.writeable else values.copy())
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_wide(dtype: np.dtype[Any]) -> bool:
    """Whether values of this type may not be exact in float32."""
    return dtype == np.float64 or (dtype.kind in "iu" and dtype.itemsize >= 4)


def _less(
    read: Callable[[int, int], NDArray[Any]], offset: NDArray[np.float64], index: int | None
) -> Callable[[int, int], NDArray[Any]]:
    """``read`` less the offset of its channels, float32; ``index`` as in :class:`PatchRowReader`."""

    def shifted(start: int, stop: int) -> NDArray[np.float32]:
        base = offset[start:stop].T[..., np.newaxis, np.newaxis] if index is None else offset[index][:, None, None]
        return (read(start, stop) - base).astype(np.float32)

    return shifted


def _plane(source: BandSource, index: int) -> Callable[[int, int], NDArray[Any]]:
    return lambda start, stop: source.read(index, start, stop)


def _stack(source: BandSource) -> Callable[[int, int], NDArray[Any]]:
    """Reads slices ``start`` to ``stop`` as ``[channel, slice, row, column]``."""
    if isinstance(source, Image):
        pixels = source.pixels
        return lambda start, stop: pixels[start:stop].swapaxes(0, 1)
    return lambda start, stop: np.stack([source.read(i, 0, source.shape[2]) for i in range(start, stop)], axis=1)
