"""Where tiles lie and how much each of their pixels counts: pure functions of sizes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

QUANTUM = 1 / 1024


def starts(size: int, tile: int, overlap: int) -> list[int]:
    """First pixels of the tiles along one axis of ``size`` ≥ ``tile``; the last tile is clamped inside the image."""
    step = tile - overlap
    return [*range(0, size - tile, step), size - tile]


def positions(size: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> list[tuple[int, ...]]:
    """First corners of all tiles, the last axis fastest."""
    axes = [starts(s, t, o) for s, t, o in zip(size, tile, overlap, strict=True)]
    return list(itertools.product(*axes))


def window(tile: Sequence[int]) -> NDArray[np.float32]:
    """Blend weights of a tile: a product of Gaussians of σ = tile / 8, in multiples of 1/1024, at least 1/1024.

    Multiples of a power of two make sums of weighted small integers exact in float32.
    """
    product = np.ones(tuple(tile))
    for axis, size in enumerate(tile):
        distance = np.arange(size) - (size - 1) / 2
        curve = np.exp(-0.5 * (distance / (size / 8)) ** 2)
        product = product * curve.reshape([-1 if i == axis else 1 for i in range(len(tile))])
    return np.maximum(np.round(product / QUANTUM), 1).astype(np.float32) * np.float32(QUANTUM)


def padding(size: Sequence[int], tile: Sequence[int], margin: Sequence[int]) -> list[tuple[int, int]]:
    """Pixels to add before and after each axis: up to one tile, evenly, and the margin a valid convolution loses.

    ``tile`` is the size of what the network returns, i.e. without margins.
    """
    missing = [max(0, t - s) for s, t in zip(size, tile, strict=True)]
    return [(m // 2 + lost, m - m // 2 + lost) for m, lost in zip(missing, margin, strict=True)]
