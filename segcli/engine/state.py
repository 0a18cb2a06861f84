"""A case on its way through the engine: its volumes, its units, and what is known of them so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcli.contract import EmptyFilter, Features, ModelCard
from segcli.engine.aggregator import PatchAggregator
from segcli.engine.empty_filter import HeldUnit
from segcli.engine.inverse import InverseTransform
from segcli.engine.patch_rows import PatchRowReader
from segcli.engine.prepare import Prepared
from segcli.engine.tiles import Layout
from segcli.errors import CaseError

Rows: TypeAlias = tuple[int, int, NDArray[Any]]
"""Slice, first row, label numbers ``[row, column]`` of it and the rows that follow: final, as the source lies."""


@dataclass(frozen=True)
class Blend:
    """What all units blend with: the card, the window on the device that holds the accumulators, and what is empty."""

    card: ModelCard
    window: Tensor
    empty_filter: EmptyFilter | None = None


@dataclass
class CaseState:
    """A case: ``batch`` is the run's until memory forces a smaller one on it. ``emptied``: units that lost a label.

    ``seconds``: in the network; ``seconds_before``: of its deadline, used before it came here.
    """

    key: Any
    volumes: list[VolumeState]
    batch: int
    seconds_before: float = 0.0
    tiles: int = 0
    done: int = 0
    gated: int = 0
    emptied: int = 0
    seconds: float = 0.0
    warnings: dict[str, None] = field(default_factory=dict)
    error: CaseError | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will come of it."""
        return self.error is not None or self.done == self.tiles

    def halve(self, batch: int) -> None:
        """Go on with a batch of ``batch``, which ends the promise of equal bytes."""
        self.batch = min(self.batch, batch)
        self.warnings = {key: None for key in self.warnings if not key.startswith(_HALVED)}
        self.warnings[f"{_HALVED}: {self.batch} tiles at a time; another run may differ in the last bits"] = None


_HALVED = "out of memory on the device, the batch was made smaller for this image"


class VolumeState:
    """One volume on its way. Of one that was turned the mask is held until it is whole and can be turned back."""

    def __init__(self, number: int, prepared: Prepared, layout: Layout, largest: int) -> None:
        self.number = number
        self.prepared = prepared
        self.layout = layout
        self.counts = np.zeros(largest + 1, np.int64)
        self.presence: list[Tensor | None] = [None] * prepared.units
        self.filter_scores: list[Tensor | None] = [None] * prepared.units
        self._units_left = prepared.units
        dtype = np.uint8 if largest <= 255 else np.uint16
        self._turned = np.zeros(prepared.stored, dtype) if prepared.is_reoriented else None

    def take(self, unit: int, first: int, labels: NDArray[Any]) -> Iterator[Rows]:
        """Final rows of a unit from ``first`` on: ``[row, column]``, of a 3-D unit ``[slice, row, column]``."""
        slices = [(unit, first, labels)] if labels.ndim == 2 else [(first + i, 0, s) for i, s in enumerate(labels)]
        for index, row, plane in slices:
            valid = self.prepared.source.valid
            if valid is not None:
                plane = plane * valid[index, row : row + len(plane)]  # noqa: PLW2901 - padding is background
            if plane.any():
                self.counts += np.bincount(plane.ravel(), minlength=len(self.counts))
            if self._turned is None:
                yield index, row, plane
            else:
                self._turned[index, row : row + len(plane)] = plane

    def unit_done(self) -> Iterator[Rows]:
        """What was held until now, if that was the last unit."""
        self._units_left -= 1
        if self._units_left == 0 and self._turned is not None:
            for index, plane in enumerate(self.prepared.reorientation.undo(self._turned)):
                yield index, 0, np.ascontiguousarray(plane)
            self._turned = None


class SliceState:
    """A slice (2-D) or stack (3-D): cut into tiles, blended, brought back."""

    def __init__(self, state: CaseState, volume: VolumeState, index: int, blend: Blend) -> None:
        self.state = state
        self.volume = volume
        self._index = index
        self._layout = volume.layout
        self._missing = volume.layout.count
        card = blend.card
        self._stitch = PatchAggregator(
            volume.layout.size, blend.window, card.network_outputs, background=card.activation != "sigmoid"
        )
        self._back = InverseTransform(volume.layout, volume.prepared.unit_stored, card)
        self._held = None if blend.empty_filter is None else HeldUnit(blend.empty_filter, volume.layout, card)

    def tiles(self, device: torch.device) -> Iterator[Tile]:
        """All tiles, row of tiles by row of tiles; rows are read as they are needed."""
        reader: PatchRowReader = self.volume.prepared.strips(self._index, device)
        strip: Tensor | None = None
        at = -1
        for corner in self._layout.corners():
            if strip is None or corner[0] != at:
                at = corner[0]
                strip = reader.at(at, self._layout)
            rest = tuple(slice(c, c + t) for c, t in zip(corner[1:], self._layout.tile[1:], strict=True))
            yield Tile(self, corner, strip[(slice(None), slice(None), *rest)])

    def add(self, tile: Tile) -> Iterator[Rows]:
        """Take the tile's result, tiles in their order; what became final. CaseError for values that are no numbers."""
        if tile.corner[0] != self._stitch.start:
            yield from self._advance(tile.corner[0])
        self._stitch.add(tile.corner, tile.probabilities, tile.kept)
        if tile.presence is not None:
            before = self.volume.presence[self._index]
            self.volume.presence[self._index] = tile.presence if before is None else before.maximum(tile.presence)
        self._missing -= 1
        if self._missing == 0:
            yield from self._advance(None)
            yield from self.volume.unit_done()

    def _advance(self, start: int | None) -> Iterator[Rows]:
        probabilities = self._stitch.advance(start)
        if self._held is None:
            yield from self._give(self._stitch.start, probabilities)
            return
        self._held.add(self._stitch.start, probabilities)
        if start is None:
            self.volume.filter_scores[self._index] = self._held.scores()
            self.state.emptied += self._held.close()
            for stop, band in self._held.bands():
                yield from self._give(stop, band)

    def _give(self, stop: int, probabilities: Tensor | None) -> Iterator[Rows]:
        final = self._back.add(stop, probabilities)
        if final is not None:
            yield from self.volume.take(self._index, *final)


@dataclass(eq=False)
class Tile:
    """``pixels`` ``[channel, *tile]`` until it is encoded, ``features`` until decoded, then ``probabilities``.

    ``batch_features``: of its whole encoder batch, where all of it survived. ``probabilities``: ``[K, *returned]``,
    None if no label was kept. ``kept`` and ``presence``: one entry a label.
    """

    unit: SliceState
    corner: tuple[int, ...]
    pixels: Tensor | None
    features: Features | None = None
    batch_features: Features | None = None
    kept: Sequence[bool] = ()
    presence: Tensor | None = None
    probabilities: Tensor | None = None
    done: bool = False

    @property
    def state(self) -> CaseState:
        """The case it belongs to."""
        return self.unit.state
