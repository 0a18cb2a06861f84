"""Blending overlapping tiles of one unit, and the decision which label each pixel gets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLOOR = 0.25
"""A label counts at a pixel only where the tiles that kept it hold this share of all tiles' window weight."""


class Stitch:
    """Sums ``w·p`` and ``w`` over the tiles of one unit, float32, in the order tiles are added.

    ``P_k = Σ w·p_k / Σ w`` over the tiles in which label k was kept; background over those in which any was.
    """

    def __init__(self, size: Sequence[int], window: Tensor, outputs: int, *, background: bool) -> None:
        self._window = window
        self._background = background
        self._sum = torch.zeros((outputs, *size))
        self._kept = torch.zeros((outputs, *size))
        self._total = torch.zeros(tuple(size))

    def add(self, corner: Sequence[int], probabilities: Tensor | None, kept: Tensor) -> None:
        """One tile: ``[K, *tile]`` and which labels ``[labels]`` it kept; None if it kept none and was not decoded."""
        where = tuple(slice(c, c + n) for c, n in zip(corner, self._window.shape, strict=True))
        self._total[where] += self._window
        if probabilities is None:
            return
        if self._background:
            kept = torch.cat([kept.any()[None], kept])
        for k in torch.nonzero(kept).flatten().tolist():
            self._sum[(k, *where)] += self._window * probabilities[k]
            self._kept[(k, *where)] += self._window

    def probabilities(self) -> Tensor:
        """``[K, *size]``; 0 where a label was not kept in enough of the weight."""
        mean = self._sum / self._kept.clamp_min(torch.finfo(torch.float32).tiny)
        enough = self._kept >= FLOOR * self._total
        return torch.where(enough & (self._kept > 0), mean, torch.zeros(()))


def decide(probabilities: Tensor, values: Sequence[int], activation: str, threshold: float) -> Tensor:
    """``[K, *size]`` → label numbers ``[*size]`` int32.

    Softmax: the largest, ties to the lower value, background where all are 0. Sigmoid: of the labels above the
    threshold the later one.
    """
    if activation == "sigmoid":
        result = torch.zeros(probabilities.shape[1:], dtype=torch.int32)
        for value, p in zip(values, probabilities, strict=True):
            result[p > threshold] = value
        return result
    table = torch.tensor([0, *values], dtype=torch.int32)
    order = torch.argsort(table)
    # torch.argmax promises the first of equal maxima, which in this order is the lower value
    first = probabilities[order].argmax(dim=0)
    result = table[order][first]
    result[probabilities.amax(dim=0) <= 0] = 0
    return result
