"""From final probabilities on the network's grid back to label numbers on the source's grid, band by band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcli.contract import ModelCard
from segcli.engine.aggregator import decide
from segcli.engine.resample import Resample
from segcli.engine.tiles import Layout
from segcli.errors import CaseError


class InverseTransform:
    """Of one unit: drops padding, resamples linearly (holding back the rows that need later ones), decides."""

    def __init__(self, layout: Layout, stored: Sequence[int], card: ModelCard) -> None:
        self._inner = layout.inner
        self._grid = layout.grid
        self._axes = [Resample(old, new) for old, new in zip(layout.grid, stored, strict=True)]
        self._stored = tuple(stored)
        self._card = card
        self._values = [label.value for label in card.labels]
        self._dtype = np.uint8 if max(self._values) <= 255 else np.uint16
        self._taken = 0  # rows of the grid that have come
        self._given = 0  # rows of the source that went
        self._held: Tensor | None = None
        self._held_from = 0

    def add(self, stop: int, probabilities: Tensor | None) -> tuple[int, NDArray[Any]] | None:
        """Final ``[K, row, ...]`` up to row ``stop`` of what tiles return; None: no label was kept in them.

        Returns the first row and label numbers ``[row, ...]`` that became final on the source's grid. Raises
        CaseError if the network returned a value that is not a number.
        """
        inner = self._inner[0]
        low, high = inner.start + self._taken, min(stop, inner.stop)
        if high <= low:
            return None
        if probabilities is not None:
            begin = stop - probabilities.shape[1]
            probabilities = probabilities[(slice(None), slice(low - begin, high - begin), *self._inner[1:])]
        self._taken = high - inner.start
        first, self._given = self._given, self._axes[0].ready(self._taken)
        if self._grid == self._stored:
            return first, self._labels(probabilities, self._given - first)
        self._hold(probabilities, high - low)
        if self._given == first:
            return None
        return first, self._labels(self._resampled(first), self._given - first)

    def _hold(self, probabilities: Tensor | None, rows: int) -> None:
        if self._held is None and probabilities is None:
            self._held_from = self._taken
            return
        if probabilities is None and self._held is not None:
            probabilities = self._held.new_zeros((self._held.shape[0], rows, *self._held.shape[2:]))
        if probabilities is not None:
            parts = [probabilities] if self._held is None else [self._held, probabilities]
            self._held = torch.cat(parts, dim=1)

    def _resampled(self, first: int) -> Tensor | None:
        """Rows ``first`` to those given now; what no later row needs is dropped."""
        low, high = self._axes[0].needs(first, self._given)
        if self._held is None:
            return None
        missing = self._held_from - low  # rows gated before the first probabilities came
        if missing > 0:
            empty = self._held.new_zeros((self._held.shape[0], missing, *self._held.shape[2:]))
            self._held = torch.cat([empty, self._held], dim=1)
            self._held_from = low
        values = self._held[:, low - self._held_from : high - self._held_from]
        values = self._axes[0].apply(values, 1, first, self._given, low)
        for axis, resample in enumerate(self._axes[1:], start=2):
            values = resample.apply(values, axis, 0, resample.new)
        if self._given < self._axes[0].new:
            keep = self._axes[0].needs(self._given, self._given + 1)[0]
            self._held = self._held[:, keep - self._held_from :].clone()
            self._held_from = keep
        return values

    def _labels(self, probabilities: Tensor | None, rows: int) -> NDArray[Any]:
        if probabilities is None:
            return np.zeros((rows, *self._stored[1:]), self._dtype)
        labels = decide(probabilities, self._values, self._card.activation, self._card.threshold)
        if self._dtype is np.uint8:
            labels = labels.to(torch.uint8)
        if not bool(torch.isfinite(probabilities).all()):
            raise CaseError("the network returned a value that is not a number; try --precision float32")
        return labels.cpu().numpy().astype(self._dtype, copy=False)
