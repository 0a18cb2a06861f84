"""Linear resampling along one axis, any stretch of rows at a time: the same bits whatever the stretches are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Resample:
    """``old`` pixels become ``new`` ones over the same extent: linear, averaged (a triangle) where it shrinks.

    The weights are those of ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)``; an axis that grows
    is interpolated, and pixels beyond the border repeat the border.
    """

    old: int
    new: int

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        """The stretch of old pixels (stop exclusive) that new pixels ``start`` to ``stop`` are made of."""
        if self.old == self.new:
            return start, stop
        first, _ = self._support(np.array([start]))
        _, last = self._support(np.array([stop - 1]))
        return int(first[0]), int(last[0])

    def ready(self, stop: int) -> int:
        """How many new pixels, from the first on, are made of old pixels before ``stop`` alone."""
        if stop >= self.old or self.old == self.new:
            return self.new if stop >= self.old else stop
        count = min(self.new, int((stop + 1) * self.new / self.old) + 1)
        while count > 0 and self.needs(count - 1, count)[1] > stop:
            count -= 1
        return count

    def apply(self, values: Tensor, axis: int, start: int, stop: int, at: int = 0) -> Tensor:
        """New pixels ``start`` to ``stop`` along ``axis`` of ``values`` (float), whose first pixel is old pixel ``at``.

        Sums tap by tap, so that a pixel's value does not depend on which others are asked for.
        """
        if self.old == self.new:
            return values.narrow(axis, start - at, stop - start)
        indices, weights = self._taps(start, stop)
        shape = [1] * values.ndim
        shape[axis] = stop - start
        total: Tensor | None = None
        for index, weight in zip(indices, weights, strict=True):
            where = torch.from_numpy(index - at).to(values.device)
            share = torch.from_numpy(weight).to(values.device).reshape(shape)
            term = values.index_select(axis, where).mul_(share)
            total = term if total is None else total.add_(term)
        if total is None:
            raise ValueError("no pixels were asked for")
        return total

    def _support(self, new: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        centre = (new + 0.5) * (self.old / self.new)
        reach = max(self.old / self.new, 1.0)
        first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + reach + 0.5).astype(np.int64), self.old)
        return first, last

    def _taps(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """``[tap, new pixel]``: old pixels and their weights, which sum to 1."""
        new = np.arange(start, stop)
        first, last = self._support(new)
        centre = (new + 0.5) * (self.old / self.new)
        reach = max(self.old / self.new, 1.0)
        index = first + np.arange(int((last - first).max()))[:, np.newaxis]
        weight = np.maximum(0, 1 - np.abs(index + 0.5 - centre) / reach)
        weight[index >= last] = 0
        weight /= weight.sum(axis=0)
        return np.minimum(index, last - 1), weight.astype(np.float32)


def resize(values: Tensor, size: Sequence[int]) -> Tensor:
    """``[channel, *spatial]`` float → the same extent in ``size`` pixels."""
    for axis, (old, new) in enumerate(zip(values.shape[1:], size, strict=True), start=1):
        values = Resample(old, new).apply(values, axis, 0, new)
    return values
