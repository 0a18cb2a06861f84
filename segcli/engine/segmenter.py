"""Cases in, label maps out: one stream in which tiles of many slices and many cases share batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from segcli.contract import GatedNetwork, ModelCard
from segcli.engine.device import accumulators_device, choose_batch, choose_device, choose_precision
from segcli.engine.empty_filter import filter_for, refuse_too_large
from segcli.engine.gate import thresholds
from segcli.engine.infer import Inference
from segcli.engine.pipeline import Pipeline, is_out_of_memory
from segcli.engine.prepare import Prepared, prepare
from segcli.engine.tiles import Layout, window
from segcli.engine.work import Blend, PartWork, Tile, Unit, Work
from segcli.errors import CaseError
from segcli.image import BandSink, BandSource, LabelMap
from segcli.settings import Precision, PredictSettings

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

MOST_CASES = 32
"""Cases that may wait for survivors of later ones to fill a decoder batch with theirs."""


@dataclass(frozen=True)
class Segmented:
    """What became of one case.

    ``masks``: one a part, empty where the parts went to sinks. ``counts``: per part, label value → pixels.
    ``presence``: label name → the highest score of its tiles; None without a head. ``slice_presence``: the same per
    part and unit (slice of a 2-D model). ``slices_emptied``: units on which the empty filter took a label off that had
    been drawn; ``filter_scores``: what it judged by, as ``slice_presence``; None without a filter. ``seconds``: time in
    the network, shared by tile count. ``empty_reason``: why no label was found (``gate``, ``threshold``, or
    ``post-processing`` where the filter took the last one off), None if one was.
    """

    masks: tuple[LabelMap, ...]
    counts: tuple[Mapping[int, int], ...]
    presence: Mapping[str, float] | None
    slice_presence: tuple[tuple[Mapping[str, float], ...], ...] | None
    tiles: int
    tiles_gated: int
    seconds: float
    warnings: tuple[str, ...]
    empty_reason: str | None
    slices_emptied: int = 0
    filter_scores: tuple[tuple[Mapping[str, float], ...], ...] | None = None


class Host(Protocol[K_contra]):
    """Whoever runs the engine: asked about cases, and told after each batch how far they are."""

    def sink(self, key: K_contra, part: int) -> BandSink | None:
        """Where the mask of a part goes as it grows; None: into memory."""
        ...

    def spent(self, key: K_contra) -> float:
        """Seconds of the case's deadline that were used before it came here."""
        ...

    def progress(self, key: K_contra, done: int, total: int) -> None:
        """So many of the tiles of the oldest case in flight are done. Called after every batch."""
        ...


class Alone(Generic[K]):
    """The host of a caller who wants masks in memory and nothing else."""

    def sink(self, key: K, part: int) -> BandSink | None:
        """Into memory."""
        return None

    def spent(self, key: K) -> float:
        """Nothing."""
        return 0.0

    def progress(self, key: K, done: int, total: int) -> None:
        """Nobody listens."""


class Segmenter:
    """A model on a device with the run's settings; ``device``, ``precision`` and ``batch`` tell what auto chose."""

    def __init__(self, network: nn.Module, card: ModelCard, settings: PredictSettings) -> None:
        self.card = card
        self.settings = settings
        self.device = choose_device(settings.device)
        self.precision: Precision = choose_precision(settings.precision, self.device)
        self.batch = choose_batch(settings.batch, self.device, card.tile)
        self.taus = thresholds(card, network, settings.gate)
        self.empty_filter = filter_for(card, settings.gate)
        self._inference = Inference(network, card, self.taus).to(self.device, self.precision)
        self._window = torch.from_numpy(window([t - 2 * m for t, m in zip(card.tile, card.margin, strict=True)]))
        self._largest = max(label.value for label in card.labels)

    def segment(
        self, cases: Iterable[tuple[K, Sequence[BandSource]]], host: Host[K] | None = None
    ) -> Iterator[tuple[K, Segmented | CaseError]]:
        """Segment a stream of cases, yielding each in its turn as soon as its last tile is done.

        Tiles of neighbouring cases share batches, so some later cases are taken before a case ends. A case that
        cannot be segmented comes back as its CaseError; the others go on. Sinks are written to, never finished.
        """
        yield from _Stream(self, host or Alone()).run(cases)

    def begin(self, key: Any, parts: Sequence[BandSource], host: Host[Any]) -> Work:
        """Everything decided about a case before its first tile. An error is the case's own."""
        work = Work(key, [], self.batch)
        try:
            for number, part in enumerate(parts):
                prepared = prepare(part, self.card, self.settings.spacing, self.settings.max_pixels)
                layout = Layout.of(prepared.unit_grid, self.card, self.settings.overlap)
                if self.empty_filter is not None:
                    refuse_too_large(layout, self.card, self.settings.max_pixels)
                work.parts.append(PartWork(prepared, layout, self._largest, host.sink(key, number)))
                work.tiles += prepared.units * layout.count
                work.warnings |= dict.fromkeys(prepared.warnings)
        except (CaseError, MemoryError, RuntimeError) as error:
            work.error = _own_error(error)
        return work

    def pipeline(self) -> Pipeline:
        """A fresh stream of tiles through the network."""
        return Pipeline(self._inference, self.batch)

    def tiles(self, work: Work) -> Iterator[Tile]:
        """All tiles of a case in order, until it has an error."""
        for part in work.parts:
            blend = Blend(self.card, self._window_for(part.prepared, part.layout), self.empty_filter)
            for index in range(part.prepared.units):
                if work.error is not None:
                    return
                try:
                    for tile in Unit(work, part, index, blend).tiles(self.device):
                        yield tile
                        if work.error is not None:
                            return
                except (CaseError, MemoryError, RuntimeError) as error:  # e.g. a band that cannot be read
                    work.error = _own_error(error)

    def _window_for(self, prepared: Prepared, layout: Layout) -> Tensor:
        device = accumulators_device(self.device, layout, self.card.network_outputs, self.settings.memory)
        return self._window.to(device)

    def outcome(self, work: Work, parts: Sequence[BandSource]) -> Segmented | CaseError:
        """What became of a case whose tiles are all done."""
        if work.error is not None:
            return work.error
        try:
            finished = [each.finish(part) for each, part in zip(work.parts, parts, strict=True)]
        except CaseError as error:
            return error
        names = [label.name for label in self.card.labels]
        counts = tuple(
            {label.value: int(part.counts[label.value]) for label in self.card.labels} for part in work.parts
        )
        presence = slice_presence = None
        if isinstance(self._inference.network, GatedNetwork):
            slice_presence = _by_name([part.presence for part in work.parts], names)
            highest = [max(units[name] for part in slice_presence for units in part) for name in names]
            presence = dict(zip(names, highest, strict=True))
        found = any(count for part in counts for count in part.values())
        return Segmented(
            masks=tuple(mask for mask in finished if mask is not None),
            counts=counts,
            presence=presence,
            slice_presence=slice_presence,
            tiles=work.tiles,
            tiles_gated=work.gated,
            seconds=work.seconds,
            warnings=tuple(work.warnings),
            empty_reason=None if found else _why_empty(work),
            slices_emptied=work.emptied,
            filter_scores=None
            if self.empty_filter is None
            else _by_name([part.filter_scores for part in work.parts], names),
        )


class _Stream:
    """One call of :meth:`Segmenter.segment`."""

    def __init__(self, segmenter: Segmenter, host: Host[Any]) -> None:
        self._segmenter = segmenter
        self._host = host
        self._limit = segmenter.settings.case_timeout
        self._pipeline = segmenter.pipeline()
        self._waiting: deque[tuple[Work, Sequence[BandSource]]] = deque()

    def run(self, cases: Iterable[tuple[Any, Sequence[BandSource]]]) -> Iterator[tuple[Any, Segmented | CaseError]]:
        for key, parts in cases:
            work = self._segmenter.begin(key, parts, self._host)
            self._waiting.append((work, parts))
            for tile in self._segmenter.tiles(work):
                if self._pipeline.feed(tile):
                    self._collect()
                    yield from self._finished()
            if len(self._waiting) > MOST_CASES:
                self._pipeline.release()
                self._collect()
            yield from self._finished()
        self._pipeline.flush()
        self._collect()
        yield from self._finished()

    def _collect(self) -> None:
        """Add what is done to the masks, and look at the deadlines."""
        for tile in self._pipeline.done():
            work = tile.work
            if work.error is None:
                try:
                    tile.unit.add(tile)
                except CaseError as error:
                    work.error = error
            work.done += 1
            work.gated += tile.probabilities is None
        for work, _ in self._waiting:
            if self._limit is not None and not work.finished:
                used = work.seconds + self._host.spent(work.key)
                if used > self._limit:
                    work.error = CaseError(f"not done within --case-timeout ({self._limit:g} s)")
        if self._waiting:
            first = self._waiting[0][0]
            self._host.progress(first.key, first.done, first.tiles)

    def _finished(self) -> Iterator[tuple[Any, Segmented | CaseError]]:
        while self._waiting and self._waiting[0][0].finished:
            work, parts = self._waiting.popleft()
            yield work.key, self._segmenter.outcome(work, parts)


def _by_name(
    parts: Sequence[Sequence[Tensor | None]], names: Sequence[str]
) -> tuple[tuple[Mapping[str, float], ...], ...]:
    return tuple(
        tuple(dict(zip(names, score.tolist(), strict=True)) for score in units if score is not None) for units in parts
    )


def _why_empty(work: Work) -> str:
    if work.gated == work.tiles:
        return "gate"
    return "post-processing" if work.emptied else "threshold"


def _own_error(error: Exception) -> CaseError:
    """The error of a case. Raises it again where it is neither that nor a lack of memory: a bug must not hide there."""
    if isinstance(error, CaseError):
        return error
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return CaseError("the image needs more memory than there is")
    raise error
