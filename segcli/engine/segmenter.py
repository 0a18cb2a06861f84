"""Cases in, label maps out: one stream in which tiles of many slices and many cases share batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segcli.contract import GatedNetwork, ModelCard
from segcli.engine.device import choose_batch, choose_device, choose_precision
from segcli.engine.gate import thresholds
from segcli.engine.infer import Inference, TileResult
from segcli.engine.prepare import Prepared, prepare, resize
from segcli.engine.stitch import Stitch, decide
from segcli.engine.tiles import padding, positions, window
from segcli.errors import CaseError
from segcli.image import Image, LabelMap
from segcli.settings import PredictSettings

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Segmented:
    """What became of one case. ``presence``: label name → the highest score of its tiles; None without a head.

    ``slice_presence``: the same per part and unit (slice of a 2-D model). ``seconds``: time in the network, shared
    by tile count. ``empty_reason``: why no label was found (``gate`` or ``threshold``), None if one was.
    """

    masks: tuple[LabelMap, ...]
    presence: Mapping[str, float] | None
    slice_presence: tuple[tuple[Mapping[str, float], ...], ...] | None
    tiles: int
    tiles_gated: int
    seconds: float
    warnings: tuple[str, ...]
    empty_reason: str | None


@dataclass
class _Unit:
    """A slice (2-D) or stack (3-D) on its way: tiles still missing, their blend so far."""

    work: _Work
    part: int
    index: int
    missing: int
    stitch: Stitch
    pad: list[tuple[int, int]]
    presence: Tensor


@dataclass
class _Work:
    """A case on its way."""

    key: Any
    parts: tuple[Image, ...]
    prepared: list[Prepared] = field(default_factory=list)
    results: list[NDArray[Any]] = field(default_factory=list)
    presence: list[list[Tensor]] = field(default_factory=list)
    missing: int = 0
    tiles: int = 0
    gated: int = 0
    seconds: float = 0.0
    error: CaseError | None = None


class Segmenter:
    """A model on a device with the run's settings; ``device``, ``precision`` and ``batch`` tell what auto chose."""

    def __init__(self, network: nn.Module, card: ModelCard, settings: PredictSettings) -> None:
        self.card = card
        self.settings = settings
        self.device = choose_device(settings.device)
        self.precision = choose_precision(settings.precision, self.device)
        self.batch = choose_batch(settings.batch, self.device, card.tile)
        self.taus = thresholds(card, network, settings.gate)
        self._inference = Inference(network, card, self.taus).to(self.device, self.precision)
        self._valid_tile = tuple(t - 2 * m for t, m in zip(card.tile, card.margin, strict=True))
        self._overlap = card.overlap
        if settings.overlap is not None:
            self._overlap = tuple(int(settings.overlap * size) for size in self._valid_tile)
        self._window = torch.from_numpy(window(self._valid_tile))
        values = [label.value for label in card.labels]
        self._dtype = np.uint8 if max(values) <= 255 else np.uint16
        self._values = values

    def segment(self, cases: Iterable[tuple[K, tuple[Image, ...]]]) -> Iterator[tuple[K, Segmented | CaseError]]:
        """Segment a stream of cases, yielding each in its turn as soon as its last tile is done.

        Tiles of neighbouring cases share batches, so up to one batch of later cases is taken before a case ends.
        A case that cannot be segmented comes back as its CaseError; the others go on.
        """
        waiting: deque[_Work] = deque()
        tiles: list[tuple[_Unit, tuple[int, ...], Tensor]] = []
        for key, parts in cases:
            work = _Work(key, parts)
            waiting.append(work)
            for tile in self._tiles(work):
                tiles.append(tile)
                if len(tiles) == self.batch:
                    self._run(tiles)
                    tiles = []
            yield from self._finished(waiting)
        if tiles:
            self._run(tiles)
        yield from self._finished(waiting)

    def _finished(self, waiting: deque[_Work]) -> Iterator[tuple[Any, Segmented | CaseError]]:
        while waiting and (waiting[0].error is not None or waiting[0].missing == 0):
            work = waiting.popleft()
            yield work.key, work.error or self._outcome(work)

    def _tiles(self, work: _Work) -> Iterator[tuple[_Unit, tuple[int, ...], Tensor]]:
        try:
            for part in work.parts:
                prepared = prepare(part, self.card, self.settings.spacing)
                work.prepared.append(prepared)
                work.results.append(np.zeros(prepared.stored, self._dtype))
                units = 1 if self.card.spatial_dims == 3 else prepared.stored[0]
                work.presence.append([torch.zeros(len(self.card.labels))] * units)
                work.missing += units
        except CaseError as error:
            work.error = error
            return
        for number, prepared in enumerate(work.prepared):
            for index in range(len(work.presence[number])):
                yield from self._unit_tiles(work, number, prepared, index)

    def _unit_tiles(
        self, work: _Work, number: int, prepared: Prepared, index: int
    ) -> Iterator[tuple[_Unit, tuple[int, ...], Tensor]]:
        grid = prepared.grid[3 - self.card.spatial_dims :]
        pad = padding(grid, self._valid_tile, self.card.margin)
        values = np.pad(prepared.unit(index, self.card).numpy(), [(0, 0), *pad], mode="reflect")
        size = [
            before + length + after - 2 * margin
            for length, (before, after), margin in zip(grid, pad, self.card.margin, strict=True)
        ]
        corners = positions(size, self._valid_tile, self._overlap)
        background = self.card.activation != "sigmoid"
        stitch = Stitch(size, self._window, self.card.network_outputs, background=background)
        unit = _Unit(work, number, index, len(corners), stitch, pad, torch.zeros(len(self.card.labels)))
        work.tiles += len(corners)
        for corner in corners:
            if work.error is not None:
                return
            where = tuple(slice(c, c + t) for c, t in zip(corner, self.card.tile, strict=True))
            yield unit, corner, torch.from_numpy(np.ascontiguousarray(values[(slice(None), *where)]))

    def _run(self, tiles: list[tuple[_Unit, tuple[int, ...], Tensor]]) -> None:
        start = time.perf_counter()
        results = self._results(tiles)
        share = (time.perf_counter() - start) / len(tiles)
        for (unit, corner, _), result in zip(tiles, results, strict=True):
            unit.work.seconds += share
            if isinstance(result, CaseError):
                unit.work.error = unit.work.error or result
            elif unit.work.error is None:
                self._add(unit, corner, result)

    def _results(self, tiles: list[tuple[_Unit, tuple[int, ...], Tensor]]) -> list[TileResult | CaseError]:
        try:
            return list(self._inference.run([pixels for _, _, pixels in tiles], self.batch))
        except Exception as error:  # noqa: BLE001 - the network is a stranger's code
            owners = {id(unit.work) for unit, _, _ in tiles}
            if len(owners) == 1:
                return [_network_error(error)] * len(tiles)
        # whose it is shows when the tiles of each case run without the others
        results: list[TileResult | CaseError] = []
        start = 0
        while start < len(tiles):
            stop = start
            while stop < len(tiles) and tiles[stop][0].work is tiles[start][0].work:
                stop += 1
            results += self._results(tiles[start:stop])
            start = stop
        return results

    def _add(self, unit: _Unit, corner: tuple[int, ...], result: TileResult) -> None:
        unit.stitch.add(corner, result.probabilities, result.kept)
        unit.work.gated += result.probabilities is None
        if result.presence is not None:
            unit.presence = torch.maximum(unit.presence, result.presence)
        unit.missing -= 1
        if unit.missing == 0:
            self._close(unit)

    def _close(self, unit: _Unit) -> None:
        work, prepared = unit.work, unit.work.prepared[unit.part]
        grid = prepared.grid[3 - self.card.spatial_dims :]
        stored = prepared.stored[3 - self.card.spatial_dims :]
        inner = tuple(
            slice(before - margin, before - margin + length)
            for (before, _), margin, length in zip(unit.pad, self.card.margin, grid, strict=True)
        )
        probabilities = resize(unit.stitch.probabilities()[(slice(None), *inner)], stored)
        labels = decide(probabilities, self._values, self.card.activation, self.card.threshold)
        target = work.results[unit.part]
        target[... if self.card.spatial_dims == 3 else unit.index] = labels.numpy()
        work.presence[unit.part][unit.index] = unit.presence
        work.missing -= 1

    def _outcome(self, work: _Work) -> Segmented:
        masks = []
        for part, prepared, result in zip(work.parts, work.prepared, work.results, strict=True):
            pixels = np.ascontiguousarray(prepared.turn.undo(result))
            if part.valid is not None:
                pixels[~part.valid] = 0
            masks.append(LabelMap(pixels, part.geometry, part.extra))
        found = any(bool(mask.pixels.any()) for mask in masks)
        names = [label.name for label in self.card.labels]
        slice_presence = None
        presence = None
        if isinstance(self._inference.network, GatedNetwork):
            slice_presence = tuple(
                tuple(dict(zip(names, scores.tolist(), strict=True)) for scores in units) for units in work.presence
            )
            every = torch.stack([scores for units in work.presence for scores in units])
            presence = dict(zip(names, every.amax(dim=0).tolist(), strict=True))
        return Segmented(
            masks=tuple(masks),
            presence=presence,
            slice_presence=slice_presence,
            tiles=work.tiles,
            tiles_gated=work.gated,
            seconds=work.seconds,
            warnings=tuple(dict.fromkeys(w for prepared in work.prepared for w in prepared.warnings)),
            empty_reason=None if found else ("gate" if work.gated == work.tiles else "threshold"),
        )


def _network_error(error: Exception) -> CaseError:
    if isinstance(error, CaseError):
        return error
    text = str(error).splitlines()[0][:200] if str(error) else ""
    return CaseError(f"the network failed: {type(error).__name__}{': ' + text if text else ''}")
