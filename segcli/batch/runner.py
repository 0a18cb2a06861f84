"""Read ahead → segment → write behind. A failure stays with its case; every wait is timed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from segcli.batch.ahead import ReadAhead, wait_for
from segcli.batch.context import RunContext
from segcli.batch.in_flight import Accepted, InFlight, accept
from segcli.batch.manifest import DISK_FULL
from segcli.batch.masks import Mask, WriteMask, finished, open_mask
from segcli.batch.measures import DECIMALS, outcome_of
from segcli.batch.observer import RunObserver
from segcli.batch.plan import failed
from segcli.engine.events import Band, Event, Progress, Result, Segmented
from segcli.engine.segmenter import Segmenter, Stream
from segcli.errors import CaseError, SegcliError, UnsupportedError
from segcli.formats.atomic import Written, is_disk_full
from segcli.formats.interface import MaskRequest
from segcli.outcome import Job, Outcome

MAX_BEHIND = 4
"""Masks that may wait to be written."""


class DiskFullError(SegcliError):
    """The disk is full: going on would only fail case after case."""


@dataclass(frozen=True)
class _Writing:
    """A mask that is written behind; ``outcome`` is the case's if that goes well."""

    job: Job
    outcome: Outcome
    mask: Mask
    future: Future[tuple[Written, float]]


class Runner:
    """Runs jobs: the only one who reads, feeds the engine, takes what it yields and has it written.

    ``stop`` of ``ahead`` true: nothing new is started, what is in flight is finished.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        ahead: ReadAhead,
        context: RunContext,
        request: MaskRequest,
        observer: RunObserver,
        write_mask: WriteMask,
    ) -> None:
        self._stream: Stream[InFlight] = Stream(segmenter)
        self._ahead = ahead
        self._context = context
        self._request = request
        self._observer = observer
        self._write_mask = write_mask
        self._in_flight: dict[str, InFlight] = {}
        self._behind: deque[_Writing] = deque()

    @property
    def in_flight(self) -> Sequence[Job]:
        """Jobs that went into the network and have not come out of it."""
        return tuple(each.accepted.job for each in self._in_flight.values())

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all jobs; an outcome is on the disk when the observer hears of it. Raises DiskFullError."""
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="segcli-writer") as writer:
                for reading in self._ahead.read(jobs):
                    found = accept(reading, self._context, self._request)
                    if isinstance(found, Outcome):
                        self._record(found)
                    else:
                        self._feed(found, writer)
                    del reading, found  # or the pixels would live until the next case has been read
                self._take(self._stream.finish(), writer)
                self._write_behind(0)
        finally:
            for case in self._in_flight.values():
                case.mask.give_up()
            self._in_flight.clear()
            self._behind.clear()

    def _feed(self, accepted: Accepted, writer: ThreadPoolExecutor) -> None:
        job, delivery = accepted.job, accepted.delivery
        self._context.manifest.started(job.case.id, self._announced(job))
        request = replace(self._request, notes=tuple(accepted.notes))
        try:
            mask = open_mask(job, delivery, accepted.stat, self._context, request, self._write_mask)
        except CaseError as error:
            delivery.close()
            self._fail(job, error)
            return
        case = self._in_flight[job.case.id] = InFlight(accepted, mask)
        self._observer.on_start(job.case)
        self._take(self._stream.feed(case, delivery.parts, delivery.seconds), writer)

    def _announced(self, job: Job) -> str | None:
        """The mask's path if the run may call it its own: a stranger's file there must stay one for later runs."""
        output = str(job.case.output)
        return output if output in self._context.ours or not os.path.lexists(job.target) else None

    def _take(self, events: Iterator[Event[InFlight]], writer: ThreadPoolExecutor) -> None:
        while (event := self._next(events)) is not None:
            match event:
                case Band():
                    try:
                        event.case.mask.write(event)
                    except CaseError as error:
                        self._stream.give_up(event.case, error)
                case Progress():
                    self._observer.on_progress(event.case.accepted.job.case, event.done, event.total)
                case Result():
                    self._end(event.case, event.result, writer)
            del event  # or the pixels of its case would live until the next

    def _next(self, events: Iterator[Event[InFlight]]) -> Event[InFlight] | None:
        """The only place in which the network works."""
        self._observer.on_network(busy=True)
        try:
            return next(events, None)
        finally:
            self._observer.on_network(busy=False)

    def _end(self, case: InFlight, result: Segmented | CaseError, writer: ThreadPoolExecutor) -> None:
        """Of a case that is out of the network."""
        accepted, mask = case.accepted, case.mask
        del self._in_flight[accepted.job.case.id]
        if self._request.settings.strict and isinstance(result, Segmented) and result.warnings:
            result = UnsupportedError(f"--strict: {result.warnings[0]}")
        if isinstance(result, CaseError):
            error = mask.root_cause(result)
            mask.give_up()
            self._fail(accepted.job, error)
            return
        outcome = outcome_of(accepted.job.case, accepted.delivery, result, self._request.card)
        warnings = (*outcome.warnings, *accepted.notes, *accepted.remarks)
        outcome = replace(outcome, warnings=warnings, key=accepted.key, stat=accepted.stat)
        self._behind.append(_Writing(accepted.job, outcome, mask, writer.submit(_timed, mask)))
        self._write_behind(MAX_BEHIND)

    def _write_behind(self, most: int) -> None:
        """Record what is written, and wait until no more than ``most`` are not."""
        while self._behind and (len(self._behind) > most or self._behind[0].future.done()):
            self._written(self._behind.popleft())

    def _written(self, writing: _Writing) -> None:
        wait_for(writing.future)
        outcome = writing.outcome
        try:
            written, seconds = writing.future.result()
        except SegcliError as error:
            writing.mask.give_up()
            self._fail(writing.job, error)
            return
        self._record(replace(outcome, seconds={**outcome.seconds, "write": seconds}, sha256=written.sha256))

    def _fail(self, job: Job, error: SegcliError) -> None:
        self._record(failed(job.case, str(error), type(error).__name__))
        if is_disk_full(error):
            raise DiskFullError(DISK_FULL) from error

    def _record(self, outcome: Outcome) -> None:
        known = outcome
        if outcome.status == "unchanged":
            # the newer times of the input are worth remembering, the word "unchanged" is not
            known = replace(outcome, status="empty" if outcome.reason else "done")
        self._context.manifest.outcome(known)
        self._observer.on_result(outcome)


def _timed(mask: Mask) -> tuple[Written, float]:
    """Finish it, and the seconds that took."""
    start = time.perf_counter()
    written = finished(mask)
    return written, round(time.perf_counter() - start, DECIMALS)
