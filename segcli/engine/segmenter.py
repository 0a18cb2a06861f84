"""Cases in, label maps out: one stream in which tiles of many slices and many cases share batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from segcli.contract import GatedNetwork, ModelCard
from segcli.engine.device import accumulators_device, choose_batch, choose_device, choose_precision
from segcli.engine.empty_filter import filter_for, refuse_too_large
from segcli.engine.events import NO_MEMORY, Band, CollectedMasks, Event, Progress, Result, Segmented
from segcli.engine.gate import thresholds
from segcli.engine.infer import Inference
from segcli.engine.pipeline import Pipeline, is_out_of_memory
from segcli.engine.prepare import Prepared, prepare
from segcli.engine.state import Blend, CaseState, SliceState, Tile, VolumeState
from segcli.engine.tiles import Layout, window
from segcli.errors import CaseError
from segcli.image import BandSource
from segcli.settings import Precision, PredictSettings

K = TypeVar("K")

MAX_CASES = 32
"""Cases that may wait for survivors of later ones to fill a decoder batch with theirs."""


class Segmenter:
    """A model on a device with the run's settings; ``device``, ``precision`` and ``batch`` tell what auto chose."""

    def __init__(self, network: nn.Module, card: ModelCard, settings: PredictSettings) -> None:
        self.card = card
        self.settings = settings
        self.device = choose_device(settings.device)
        self.precision: Precision = choose_precision(settings.precision, self.device)
        self.batch = choose_batch(settings.batch, self.device, card.tile)
        self.presence_thresholds = thresholds(card, network, settings.gate)
        self.empty_filter = filter_for(card, settings.gate)
        self._inference = Inference(network, card, self.presence_thresholds).to(self.device, self.precision)
        self._window = torch.from_numpy(window([t - 2 * m for t, m in zip(card.tile, card.margin, strict=True)]))
        self._largest = max(label.value for label in card.labels)

    def segment(self, cases: Iterable[tuple[K, Sequence[BandSource]]]) -> Iterator[tuple[K, Segmented | CaseError]]:
        """Segment cases whose masks fit in memory, yielding each in its turn as soon as its last tile is done.

        Tiles of neighbouring cases share batches, so some later cases are taken before a case ends. A case that
        cannot be segmented comes back as its CaseError; the others go on.
        """
        stream: Stream[tuple[K, CollectedMasks]] = Stream(self)
        for event in _whole(stream, cases):
            if isinstance(event, Band):
                try:
                    event.case[1].write(event)
                except CaseError as error:
                    stream.give_up(event.case, error)
            elif isinstance(event, Result):
                yield _with_masks(event)
            del event  # or its masks would live until the next

    def begin(self, key: Any, volumes: Sequence[BandSource], seconds: float = 0.0) -> CaseState:
        """Everything decided about a case before its first tile. An error is the case's own."""
        state = CaseState(key, [], self.batch, seconds)
        try:
            for number, volume in enumerate(volumes):
                prepared = prepare(volume, self.card, self.settings.spacing, self.settings.max_pixels)
                layout = Layout.of(prepared.unit_grid, self.card, self.settings.overlap)
                if self.empty_filter is not None:
                    refuse_too_large(layout, self.card, self.settings.max_pixels)
                state.volumes.append(VolumeState(number, prepared, layout, self._largest))
                state.tiles += prepared.units * layout.count
                state.warnings |= dict.fromkeys(prepared.warnings)
        except (CaseError, MemoryError, RuntimeError) as error:
            state.error = _own_error(error)
        return state

    def pipeline(self) -> Pipeline:
        """A fresh stream of tiles through the network."""
        return Pipeline(self._inference, self.batch)

    def tiles(self, state: CaseState) -> Iterator[Tile]:
        """All tiles of a case in order, until it has an error."""
        for volume in state.volumes:
            blend = Blend(self.card, self._window_for(volume.prepared, volume.layout), self.empty_filter)
            for index in range(volume.prepared.units):
                if state.error is not None:
                    return
                try:
                    for tile in SliceState(state, volume, index, blend).tiles(self.device):
                        yield tile
                        if state.error is not None:
                            return
                except (CaseError, MemoryError, RuntimeError) as error:  # e.g. a band that cannot be read
                    state.error = _own_error(error)

    def _window_for(self, prepared: Prepared, layout: Layout) -> Tensor:
        device = accumulators_device(self.device, layout, self.card.network_outputs, self.settings.memory)
        return self._window.to(device)

    def result(self, state: CaseState) -> Segmented | CaseError:
        """The result of a case whose tiles are all done."""
        if state.error is not None:
            return state.error
        names = [label.name for label in self.card.labels]
        counts = tuple(
            {label.value: int(volume.counts[label.value]) for label in self.card.labels} for volume in state.volumes
        )
        presence = slice_presence = None
        if isinstance(self._inference.network, GatedNetwork):
            slice_presence = _by_name([volume.presence for volume in state.volumes], names)
            highest = [max(units[name] for volume in slice_presence for units in volume) for name in names]
            presence = dict(zip(names, highest, strict=True))
        found = any(count for volume in counts for count in volume.values())
        return Segmented(
            masks=(),
            counts=counts,
            presence=presence,
            slice_presence=slice_presence,
            tiles=state.tiles,
            tiles_gated=state.gated,
            seconds=state.seconds,
            warnings=tuple(state.warnings),
            empty_reason=None if found else _why_empty(state),
            slices_emptied=state.emptied,
            filter_scores=None
            if self.empty_filter is None
            else _by_name([volume.filter_scores for volume in state.volumes], names),
        )


class Stream(Generic[K]):
    """Cases fed one by one; :meth:`feed` and :meth:`finish` yield what became known meanwhile, of any of them.

    The network works while the next event is waited for, and at no other time. What they yield must be taken to the
    end before the next case is fed.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._limit = segmenter.settings.case_timeout
        self._pipeline = segmenter.pipeline()
        self._waiting: deque[CaseState] = deque()

    def feed(self, case: K, volumes: Sequence[BandSource], seconds: float = 0.0) -> Iterator[Event[K]]:
        """One case more. ``seconds``: of its deadline, used before it came here."""
        state = self._segmenter.begin(case, volumes, seconds)
        self._waiting.append(state)
        for tile in self._segmenter.tiles(state):
            if self._pipeline.feed(tile):
                yield from self._collected()
        if len(self._waiting) > MAX_CASES:
            self._pipeline.release()
            yield from self._collected()
        yield from self._finished()

    def finish(self) -> Iterator[Event[K]]:
        """There are no more cases."""
        self._pipeline.flush()
        yield from self._collected()

    def give_up(self, case: K, error: CaseError) -> None:
        """Spend no more time on a case in flight: ``error`` becomes its result."""
        for state in self._waiting:
            if state.key is case and state.error is None:
                state.error = error

    def _collected(self) -> Iterator[Event[K]]:
        """Add what is done to the masks, and look at the deadlines."""
        for tile in self._pipeline.done():
            state = tile.state
            state.done += 1
            state.gated += tile.probabilities is None
            try:
                for slice_index, row, labels in tile.unit.add(tile) if state.error is None else ():
                    yield Band(state.key, tile.unit.volume.number, slice_index, row, labels)
                    if state.error is not None:
                        break
            except CaseError as error:
                state.error = error
        for state in self._waiting:
            if self._limit is not None and not state.finished and state.seconds + state.seconds_before > self._limit:
                state.error = CaseError(f"not done within --case-timeout ({self._limit:g} s)")
        if self._waiting:
            first = self._waiting[0]
            yield Progress(first.key, first.done, first.tiles)
        yield from self._finished()

    def _finished(self) -> Iterator[Result[K]]:
        while self._waiting and self._waiting[0].finished:
            state = self._waiting.popleft()
            yield Result(state.key, self._segmenter.result(state))


def _with_masks(event: Result[tuple[K, CollectedMasks]]) -> tuple[K, Segmented | CaseError]:
    (key, masks), result = event.case, event.result
    return key, result if isinstance(result, CaseError) else replace(result, masks=masks.label_maps())


def _whole(
    stream: Stream[tuple[K, CollectedMasks]], cases: Iterable[tuple[K, Sequence[BandSource]]]
) -> Iterator[Event[tuple[K, CollectedMasks]]]:
    for key, volumes in cases:
        yield from stream.feed((key, CollectedMasks(volumes)), volumes)
    yield from stream.finish()


def _by_name(
    volumes: Sequence[Sequence[Tensor | None]], names: Sequence[str]
) -> tuple[tuple[Mapping[str, float], ...], ...]:
    def named(score: Tensor) -> Mapping[str, float]:
        return dict(zip(names, score.tolist(), strict=True))

    return tuple(tuple(named(score) for score in units if score is not None) for units in volumes)


def _why_empty(state: CaseState) -> str:
    if state.gated == state.tiles:
        return "gate"
    return "post-processing" if state.emptied else "threshold"


def _own_error(error: Exception) -> CaseError:
    """The error of a case. Raises it again where it is neither that nor a lack of memory: a bug must not hide there."""
    if isinstance(error, CaseError):
        return error
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return CaseError(NO_MEMORY)
    raise error
