"""A case on its way through the engine: its parts, its units, and what is known of them so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcli.contract import EmptyFilter, Features, ModelCard
from segcli.engine.empty_filter import HeldUnit
from segcli.engine.prepare import Prepared
from segcli.engine.stitch import Stitch
from segcli.engine.strips import Strips
from segcli.engine.tiles import Layout
from segcli.engine.way_back import WayBack
from segcli.errors import CaseError
from segcli.image import BandSink, BandSource, LabelMap


@dataclass(frozen=True)
class Blend:
    """What all units blend with: the card, the window on the device that holds the accumulators, and what is empty."""

    card: ModelCard
    window: Tensor
    empty_filter: EmptyFilter | None = None


@dataclass
class Work:
    """A case: ``batch`` is the run's until memory forces a smaller one on it. ``emptied``: units that lost a label."""

    key: Any
    parts: list[PartWork]
    batch: int
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


class PartWork:
    """One part and its mask, which grows band by band in memory or goes to ``sink``."""

    def __init__(self, prepared: Prepared, layout: Layout, largest: int, sink: BandSink | None) -> None:
        self.prepared = prepared
        self.layout = layout
        self.counts = np.zeros(largest + 1, np.int64)
        self.presence: list[Tensor | None] = [None] * prepared.units
        self.filter_scores: list[Tensor | None] = [None] * prepared.units
        self._sink = sink
        self._direct = sink is not None and not prepared.turned
        dtype = np.uint8 if largest <= 255 else np.uint16
        self._mask: NDArray[Any] | None = None if self._direct else np.zeros(prepared.stored, dtype)

    def take(self, unit: int, first: int, labels: NDArray[Any]) -> None:
        """Final rows of a unit from ``first`` on: ``[row, column]``, of a 3-D unit ``[slice, row, column]``."""
        slices = [(unit, first, labels)] if labels.ndim == 2 else [(first + i, 0, s) for i, s in enumerate(labels)]
        for index, row, plane in slices:
            valid = self.prepared.source.valid
            if valid is not None:
                plane = plane * valid[index, row : row + len(plane)]  # noqa: PLW2901 - padding is background
            if plane.any():
                self.counts += np.bincount(plane.ravel(), minlength=len(self.counts))
            if self._mask is not None:
                self._mask[index, row : row + len(plane)] = plane
            elif self._sink is not None:
                self._sink.write(index, row, plane)

    def finish(self, part: BandSource) -> LabelMap | None:
        """The mask of ``part`` in its own orientation; None if it went to the sink."""
        if self._mask is None:
            return None
        mask = np.ascontiguousarray(self.prepared.turn.undo(self._mask))
        if self._sink is None:
            return LabelMap(mask, part.geometry, part.extra)
        for index, plane in enumerate(mask):
            self._sink.write(index, 0, plane)
        return None


class Unit:
    """A slice (2-D) or stack (3-D): cut into tiles, blended, brought back."""

    def __init__(self, work: Work, part: PartWork, index: int, blend: Blend) -> None:
        self.work = work
        self._part = part
        self._index = index
        self._layout = part.layout
        self._missing = part.layout.count
        card = blend.card
        self._stitch = Stitch(
            part.layout.size, blend.window, card.network_outputs, background=card.activation != "sigmoid"
        )
        self._back = WayBack(part.layout, part.prepared.unit_stored, card)
        self._held = None if blend.empty_filter is None else HeldUnit(blend.empty_filter, part.layout, card)

    def tiles(self, device: torch.device) -> Iterator[Tile]:
        """All tiles, row of tiles by row of tiles; rows are read as they are needed."""
        strips: Strips = self._part.prepared.strips(self._index, device)
        strip: Tensor | None = None
        at = -1
        for corner in self._layout.corners():
            if strip is None or corner[0] != at:
                at = corner[0]
                strip = strips.at(at, self._layout)
            rest = tuple(slice(c, c + t) for c, t in zip(corner[1:], self._layout.tile[1:], strict=True))
            yield Tile(self, corner, strip[(slice(None), slice(None), *rest)])

    def add(self, tile: Tile) -> None:
        """The tile's result, tiles in their order. Raises CaseError for values that are not numbers."""
        if tile.corner[0] != self._stitch.start:
            self._advance(tile.corner[0])
        self._stitch.add(tile.corner, tile.probabilities, tile.kept)
        if tile.presence is not None:
            before = self._part.presence[self._index]
            self._part.presence[self._index] = tile.presence if before is None else before.maximum(tile.presence)
        self._missing -= 1
        if self._missing == 0:
            self._advance(None)

    def _advance(self, start: int | None) -> None:
        probabilities = self._stitch.advance(start)
        if self._held is None:
            self._give(self._stitch.start, probabilities)
            return
        self._held.add(self._stitch.start, probabilities)
        if start is None:
            self._part.filter_scores[self._index] = self._held.scores()
            self.work.emptied += self._held.close()
            for stop, band in self._held.bands():
                self._give(stop, band)

    def _give(self, stop: int, probabilities: Tensor | None) -> None:
        final = self._back.add(stop, probabilities)
        if final is not None:
            self._part.take(self._index, *final)


@dataclass(eq=False)
class Tile:
    """``pixels`` ``[channel, *tile]`` until it is encoded, ``features`` until decoded, then ``probabilities``.

    ``batch_features``: of its whole encoder batch, where all of it survived. ``probabilities``: ``[K, *returned]``,
    None if no label was kept. ``kept`` and ``presence``: one entry a label.
    """

    unit: Unit
    corner: tuple[int, ...]
    pixels: Tensor | None
    features: Features | None = None
    batch_features: Features | None = None
    kept: Sequence[bool] = ()
    presence: Tensor | None = None
    probabilities: Tensor | None = None
    done: bool = False

    @property
    def work(self) -> Work:
        """The case it belongs to."""
        return self.unit.work
