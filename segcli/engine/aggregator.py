"""Blending overlapping tiles of one unit, a band at a time, and the decision which label each pixel gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FLOOR = 0.25
"""A label counts at a pixel only where the tiles that kept it hold this share of all tiles' window weight."""


class PatchAggregator:
    """Sums ``w·p`` and ``w`` over the tiles of one unit, float32, in the order tiles are added.

    ``P_k = Σ w·p_k / Σ w`` over the tiles in which label k was kept; background over those in which any was. Only the
    rows of the current row of tiles are held: :meth:`advance` hands over those no later tile can touch. Memory for
    probabilities is taken when the first tile brings some.
    """

    def __init__(self, size: Sequence[int], window: Tensor, outputs: int, *, background: bool) -> None:
        self._window = window
        self._background = background
        self._outputs = outputs
        self._start = 0
        self._total = torch.zeros((window.shape[0], *size[1:]), device=window.device)
        self._sum: Tensor | None = None
        self._kept: Tensor | None = None  # None: as total, for no label was gated so far
        self._gated = False

    @property
    def start(self) -> int:
        """The first row that is not final."""
        return self._start

    def add(self, corner: Sequence[int], probabilities: Tensor | None, kept: Sequence[bool]) -> None:
        """One tile: ``[K, *tile]`` and which labels it kept; None if it kept none and was not decoded.

        ``corner[0]`` is :attr:`start`: rows of tiles come in order, with an :meth:`advance` before each.
        """
        rest = (slice(c, c + n) for c, n in zip(corner[1:], self._window.shape[1:], strict=True))
        where: tuple[Any, ...] = (..., slice(None), *rest)
        if not all(kept):
            self._gated = True
        if self._gated and self._kept is None and self._sum is not None:
            self._kept = self._total.expand(self._outputs, *self._total.shape).clone()
        self._total[where] += self._window
        if probabilities is None:
            return
        if self._sum is None:
            self._sum = torch.zeros((self._outputs, *self._total.shape), device=self._window.device)
            self._kept = torch.zeros_like(self._sum) if self._gated else None
        self._sum[where].addcmul_(probabilities.to(self._sum.device), self._window)
        if self._kept is None:
            return
        labels = [any(kept), *kept] if self._background else kept
        for k, each in enumerate(labels):
            if each:
                self._kept[k][where] += self._window

    def advance(self, start: int | None = None) -> Tensor | None:
        """Probabilities ``[K, row, ...]`` of the rows before ``start`` (None: all), which are final then.

        0 where a label was not kept in enough of the weight; None if no tile has brought any yet.
        """
        rows = self._window.shape[0] if start is None else start - self._start
        self._start += rows
        result = None if self._sum is None else self._probabilities(self._sum[:, :rows], rows)
        for held in (self._total[None], self._sum, self._kept):
            if held is not None and start is not None:
                held[:, : held.shape[1] - rows] = held[:, rows:].clone()
                held[:, held.shape[1] - rows :] = 0
        return result

    def _probabilities(self, total: Tensor, rows: int) -> Tensor:
        if self._kept is None:
            return total / self._total[:rows]
        kept = self._kept[:, :rows]
        mean = total / kept.clamp_min(torch.finfo(torch.float32).tiny)
        # a sum that is not finite stays visible, whatever weight it has
        return mean.masked_fill_((kept < FLOOR * self._total[:rows]) & total.isfinite(), 0)


def decide(probabilities: Tensor, values: Sequence[int], activation: str, threshold: float) -> Tensor:
    """``[K, *size]`` → label numbers ``[*size]`` int32.

    Softmax: the largest, ties to the lower value, background where all are 0. Sigmoid: of the labels above the
    threshold the later one.
    """
    if activation == "sigmoid":
        result = torch.zeros(probabilities.shape[1:], dtype=torch.int32, device=probabilities.device)
        for value, p in zip(values, probabilities, strict=True):
            result.masked_fill_(p > threshold, value)
        return result
    table = [0, *values]
    best = torch.zeros_like(probabilities[0])
    result = torch.zeros(probabilities.shape[1:], dtype=torch.int32, device=probabilities.device)
    for index in sorted(range(len(table)), key=table.__getitem__):
        p = probabilities[index]
        result.masked_fill_(p > best, table[index])  # not where equal: the lower value came first
        best = torch.maximum(best, p)
    return result
