"""Where tiles lie and how much each of their pixels counts: pure functions of sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.contract import ModelCard

QUANTUM = 1 / 1024


def starts(size: int, tile: int, overlap: int) -> list[int]:
    """First pixels of the tiles along one axis of ``size`` ≥ ``tile``; the last tile is clamped inside the image."""
    step = tile - overlap
    return [*range(0, size - tile, step), size - tile]


def positions(size: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> list[tuple[int, ...]]:
    """First corners of all tiles, the last axis fastest."""
    return list(itertools.product(*(starts(s, t, o) for s, t, o in zip(size, tile, overlap, strict=True))))


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


@dataclass(frozen=True)
class Layout:
    """The tiles of one unit of ``grid`` pixels, in rows of tiles along its first axis.

    ``tile``: what the network sees, ``returned``: what it returns, which is less by ``margin`` on each side.
    Corners of tiles count from the first pixel any tile returns; input begins there too, ``margin`` before its output.
    """

    grid: tuple[int, ...]
    tile: tuple[int, ...]
    margin: tuple[int, ...]
    overlap: tuple[int, ...]

    @staticmethod
    def of(grid: Sequence[int], card: ModelCard, overlap: float | None) -> Layout:
        """As the card says; ``overlap``: a share of what a tile returns instead of the card's pixels."""
        layout = Layout(tuple(grid), card.tile, card.margin, card.overlap)
        if overlap is None:
            return layout
        pixels = tuple(int(overlap * size) for size in layout.returned)
        return Layout(layout.grid, layout.tile, layout.margin, pixels)

    @property
    def returned(self) -> tuple[int, ...]:
        """Sides of what the network returns for a tile."""
        return tuple(t - 2 * m for t, m in zip(self.tile, self.margin, strict=True))

    @cached_property
    def pad(self) -> list[tuple[int, int]]:
        """Pixels added before and after each axis of the grid."""
        return padding(self.grid, self.returned, self.margin)

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Sides of what all tiles together return: the grid, or one tile where that is larger."""
        return tuple(max(g, r) for g, r in zip(self.grid, self.returned, strict=True))

    @cached_property
    def inner(self) -> tuple[slice, ...]:
        """Where the grid lies in what the tiles return."""
        befores = [before - margin for (before, _), margin in zip(self.pad, self.margin, strict=True)]
        return tuple(slice(before, before + length) for before, length in zip(befores, self.grid, strict=True))

    @cached_property
    def sources(self) -> list[NDArray[np.intp]]:
        """For each axis, which pixel of the grid each padded pixel repeats (numpy's repeated reflection)."""
        return [np.pad(np.arange(length), pad, mode="reflect") for length, pad in zip(self.grid, self.pad, strict=True)]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return math.prod(len(axis) for axis in self._starts)

    def corners(self) -> Iterator[tuple[Any, ...]]:
        """First corners of all tiles, the last axis fastest, so row of tiles by row of tiles."""
        return itertools.product(*self._starts)

    @cached_property
    def _starts(self) -> list[list[int]]:
        return [starts(s, t, o) for s, t, o in zip(self.size, self.returned, self.overlap, strict=True)]
