"""Intensity statistics of a part, from one pass over its rows, so that an image larger than memory has them too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.contract import Intensity
from segcli.image import BandSource, Image

CHUNK = 2**20
"""Pixels of a channel looked at together. Part of the result's last bits: the same however the image is held."""


@dataclass(frozen=True)
class Normalisation:
    """``(x − offset) · scale``, then clipped to 0-1 if ``clip``; both arrays are ``[slice, channel]``."""

    offset: NDArray[np.float64]
    scale: NDArray[np.float32]
    clip: bool


@dataclass
class _Moments:
    """Count, mean and sum of squared deviations, merged chunk by chunk (Chan, Golub and LeVeque 1983)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        if values.size == 0:
            return
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        exact -= mean
        squares = float(np.square(exact, out=exact).sum())
        total = self.count + exact.size
        shift = mean - self.mean
        self.mean += shift * exact.size / total
        self.squares += squares + shift * shift * self.count * exact.size / total
        self.count = total

    @property
    def spread(self) -> float:
        return math.sqrt(self.squares / self.count) if self.count else 0.0


def needs_whole(intensity: Intensity) -> bool:
    """Whether the statistics cannot be had from a pass over the rows."""
    return intensity.kind == "percentile"


def normalisation(part: BandSource, intensity: Intensity) -> Normalisation:
    """How ``part`` is normalised; padding (``valid`` False) is kept out of the statistics.

    Percentiles need an :class:`Image`, all in memory.
    """
    slices, channels = part.shape[:2]
    offset = np.zeros((slices, channels), np.float64)
    scale = np.ones((slices, channels), np.float32)
    if intensity.kind != "none":
        for which in [slice(i, i + 1) for i in range(slices)] if intensity.scope == "slice" else [slice(0, slices)]:
            for channel, (start, span) in enumerate(_ranges(part, which, intensity)):
                offset[which, channel] = start
                scale[which, channel] = 1 / span if span > 0 else 1  # a constant image is not an error
    return Normalisation(offset, scale, intensity.kind not in ("none", "zscore"))


def _ranges(part: BandSource, which: slice, intensity: Intensity) -> list[tuple[float, float]]:
    """What becomes 0 and how much becomes 1, a channel."""
    channels = part.shape[1]
    if intensity.kind == "zscore":
        if intensity.mean is not None and intensity.std is not None:
            return [(intensity.mean, intensity.std)] * channels
        moments = [_Moments() for _ in range(channels)]
        for rows, valid in _chunks(part, which):
            for channel, found in enumerate(moments):
                found.add(rows[channel] if valid is None else rows[channel][valid])
        return [(found.mean, found.spread if found.count else 1.0) for found in moments]
    low, high = intensity.low or 0.0, intensity.high or 0.0
    if intensity.kind == "window":
        return [(low, high - low)] * channels
    return [_percentiles(part, which, channel, (low, high)) for channel in range(channels)]


def _chunks(part: BandSource, which: slice) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_] | None]]:
    rows, columns = part.shape[2:]
    step = max(1, CHUNK // columns)
    for index in range(which.start, which.stop):
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            valid = None if part.valid is None else part.valid[index, start:stop]
            yield part.read(index, start, stop), valid


def _percentiles(part: BandSource, which: slice, channel: int, wanted: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(part, Image):
        raise TypeError("percentiles need the whole image")
    values = part.pixels[which, channel]
    chosen = values.ravel() if part.valid is None else values[part.valid[which]]
    if chosen.size == 0:
        return 0.0, 1.0
    low, high = (float(x) for x in np.percentile(chosen, wanted))
    return low, high - low
