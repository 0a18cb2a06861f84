"""Read ahead → segment → write behind. A failure stays with its case; every wait is timed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import replace
from pathlib import Path
from typing import Any

from segcli.batch.ahead import bytes_ahead, read_request, refuse_changed
from segcli.batch.history import History
from segcli.batch.host import EngineHost
from segcli.batch.in_flight import Reading, Segmenting
from segcli.batch.key import hash_file, job_key, stat_of
from segcli.batch.manifest import DISK_FULL, ManifestWriter
from segcli.batch.measures import DECIMALS, outcome_of
from segcli.batch.plan import failed, skipped, unchanged
from segcli.batch.watchdog import Watchdog
from segcli.engine.segmenter import Segmented, Segmenter
from segcli.errors import CaseError, SegcliError, SkippedCase, UnreadableError, UnsupportedError, WriteError
from segcli.formats.atomic import Target, Written, is_disk_full, write_mask
from segcli.formats.interface import MaskRequest
from segcli.formats.mask_sink import MaskSink, open_sink
from segcli.formats.readers import Readers
from segcli.formats.scan import other_modality
from segcli.image import BandSource
from segcli.outcome import Job, Outcome

POLL = 0.2
"""Seconds after which a wait looks whether the run was asked to stop."""
WRITES_BEHIND = 4
READING = 16
"""Most cases read ahead, however small: each holds a file descriptor."""


class DiskFullError(SegcliError):
    """The disk is full: going on would only fail case after case."""


class Runner:
    """Runs jobs. ``stop()`` true: nothing new is started, what is in flight is finished."""

    def __init__(
        self,
        segmenter: Segmenter,
        readers: Readers,
        manifest: ManifestWriter,
        history: History,
        request: MaskRequest,
        *,
        fingerprint: str,
        output: Path,
        token: str,
        stop: Callable[[], bool],
    ) -> None:
        self._segmenter = segmenter
        self._readers = readers
        self._manifest = manifest
        self._history = history
        self._request = request
        self._fingerprint = fingerprint
        self._output = output
        self._token = token
        self._stop = stop
        self._at_hand: dict[str, Job] = {}
        self._banded: list[Segmenting] = []
        self._early: list[Outcome] = []
        self._known: list[Outcome] = []

    @property
    def at_hand(self) -> Sequence[Job]:
        """Jobs that went into the network and have not come out of it."""
        return tuple(self._at_hand.values())

    def run(
        self,
        jobs: Sequence[Job],
        told: Callable[[Outcome], None],
        progress: Callable[[int, int], None],
        watchdog: Watchdog,
    ) -> None:
        """Run all jobs, telling each outcome once it is on the disk. Raises DiskFullError if the disk is full.

        ``progress``: hears after each batch how many tiles of how many of the case in the network are done.
        """
        host = EngineHost(progress, watchdog, self._open_mask)
        try:
            self._run(jobs, told, watchdog, host)
        finally:
            for working in self._banded:
                working.give_up()
            self._banded.clear()
        self._tell_early(told)

    def _run(self, jobs: Sequence[Job], told: Callable[[Outcome], None], watchdog: Watchdog, host: EngineHost) -> None:
        pending: deque[tuple[Segmenting, Segmented, Future[Written]]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="segcli-writer") as writer:
            for working, result in self._segmenter.segment(self._read_all(jobs, told, watchdog), host):
                watchdog.resting()
                self._at_hand.pop(working.job.case.id)
                if self._request.settings.strict and isinstance(result, Segmented) and result.warnings:
                    result = UnsupportedError(f"--strict: {result.warnings[0]}")  # noqa: PLW2901 - before it is written
                if isinstance(result, CaseError):
                    result = working.true_error(result)  # noqa: PLW2901 - what it came of says more
                    working.give_up()
                    self._record(failed(working.job.case, str(result), type(result).__name__), told)
                    if is_disk_full(result):
                        raise DiskFullError(DISK_FULL) from result
                    watchdog.working()
                    continue
                pending.append((working, result, writer.submit(self._write, working, result)))
                while len(pending) > WRITES_BEHIND or (pending and pending[0][2].done()):
                    self._written(*pending.popleft(), told)
                watchdog.working()
            watchdog.resting()
            while pending:
                self._written(*pending.popleft(), told)

    def _open_mask(self, working: Segmenting) -> MaskSink:
        request = working.request(self._request)
        working.mask = open_sink(self._target(working.job), working.job.case, working.delivery.parts, request)
        return working.mask

    def _target(self, job: Job) -> Target:
        ours = str(job.case.output) in self._history.outputs
        return Target(job.target, self._output, self._token, may_replace=ours)

    def _read_all(
        self, jobs: Sequence[Job], told: Callable[[Outcome], None], watchdog: Watchdog
    ) -> Iterator[tuple[Segmenting, Sequence[BandSource]]]:
        waiting = deque(jobs)
        reading: deque[Reading] = deque()
        held = 0
        while (waiting or reading) and not self._stop():
            watchdog.resting()
            self._tell_early(told)
            while waiting and (not reading or (held < self._request.settings.memory and len(reading) < READING)):
                started = self._submit(waiting.popleft())
                if started is not None:
                    reading.append(started)
                    held += started.bytes
            if not reading:
                continue
            item = reading.popleft()
            held -= item.bytes
            try:
                delivery = _wait(item.future)
            except SkippedCase as error:
                self._early.append(skipped(item.job.case, str(error)))
                continue
            except SegcliError as error:
                self._early.append(failed(item.job.case, str(error), type(error).__name__))
                continue
            working = Segmenting(item.job, delivery, item.stat, job_key(self._fingerprint, delivery.digest))
            if self._accept(working):
                self._manifest.started(item.job.case.id, self._announced(item.job))
                self._at_hand[item.job.case.id] = item.job
                if delivery.banded:
                    self._banded.append(working)
                watchdog.working()
                yield working, delivery.parts
                watchdog.resting()
            else:
                delivery.close()
            del delivery, working  # or the pixels would live until the next case has been read
        for item in reading:
            item.future.cancel()
        watchdog.working()

    def _announced(self, job: Job) -> str | None:
        """The mask's path if the run may call it its own: a stranger's file there must stay one for later runs."""
        output = str(job.case.output)
        return output if output in self._history.outputs or not os.path.lexists(job.target) else None

    def _submit(self, job: Job) -> Reading | None:
        request = read_request(self._request)
        try:
            stat = stat_of(job.case.files)
        except OSError as error:
            self._early.append(
                failed(job.case, f"a file of it vanished or is not readable ({error.strerror})", "UnreadableError")
            )
            return None
        future = self._readers.submit_read(job.case, request, self._request.settings.case_timeout)
        return Reading(job, future, bytes_ahead(job.case, request.hold_pixels), stat)

    def _accept(self, working: Segmenting) -> bool:
        """Whether the case goes on to the network; if not, its outcome is known already."""
        case, settings = working.job.case, self._request.settings
        warnings = (*case.warnings, *working.delivery.warnings)
        try:
            refuse_changed(case.files, working.stat)
        except UnreadableError as error:
            self._early.append(failed(case, str(error), type(error).__name__))
            return False
        if settings.strict and warnings:
            self._early.append(failed(case, f"--strict: {warnings[0]}", "UnsupportedError"))
            return False
        reason = working.out_of_scope(self._request.card, settings.spacing)
        if reason is not None and not settings.any_scope:
            self._early.append(skipped(case, reason))
            return False
        # No warnings to the reader's: with --strict they would fail what was asked for.
        other = other_modality(case, self._request.card.modality)
        asked_for = ((reason, "--any-scope"), (other and f"other modality: {other}", "--any-modality"))
        working.notes = tuple(f"{found}; segmented all the same ({word})" for found, word in asked_for if found)
        before = self._history.outcomes.get(case.id)
        if before is not None and before.status in ("done", "empty") and len(before.stat) != len(case.files):
            files = f"{len(before.stat)} files, this one from {len(case.files)}"
            working.remarks = (f"replaces an earlier mask, which was made from {files}",)
        if not settings.overwrite and before is not None and before.key == working.key and before.sha256 is not None:
            try:
                if before.sha256 == hash_file(working.job.target):
                    self._known.append(replace(unchanged(before), stat=working.stat))
                    return False
            except OSError:
                return True  # the mask is gone: make it again
        return True

    def _write(self, working: Segmenting, result: Segmented) -> Written:
        job = working.job
        start = time.perf_counter()
        try:
            if working.mask is not None:
                refuse_changed(job.case.files, working.stat)  # its last band has been read just now
                written = working.mask.finish()
                working.delivery.close()
            else:
                written = write_mask(self._target(job), job.case, result.masks, working.request(self._request))
            working.seconds_writing = time.perf_counter() - start
            return written
        except SegcliError:
            raise
        except Exception as error:
            # a library that stumbles over one case must not take the night's other cases with it; its words may quote
            # header values, so only the kind of error is told
            raise WriteError(f"the mask could not be written ({type(error).__name__}): please report this") from error

    def _written(
        self, working: Segmenting, result: Segmented, future: Future[Written], told: Callable[[Outcome], None]
    ) -> None:
        case = working.job.case
        try:
            written = _wait(future)
        except SegcliError as error:
            working.give_up()
            self._record(failed(case, str(error), type(error).__name__), told)
            if is_disk_full(error):
                raise DiskFullError(DISK_FULL) from error
            return
        done = outcome_of(case, working.delivery, result, self._request.card)
        seconds = {**done.seconds, "write": round(working.seconds_writing, DECIMALS)}
        done = replace(done, warnings=(*done.warnings, *working.notes, *working.remarks))
        self._record(replace(done, seconds=seconds, key=working.key, stat=working.stat, sha256=written.sha256), told)

    def _tell_early(self, told: Callable[[Outcome], None]) -> None:
        early, self._early = self._early, []
        for outcome in early:
            self._record(outcome, told)
        known, self._known = self._known, []
        for outcome in known:
            # the newer times of the input are worth remembering, the word "unchanged" is not
            self._manifest.outcome(replace(outcome, status="empty" if outcome.reason else "done"))
            told(outcome)

    def _record(self, outcome: Outcome, told: Callable[[Outcome], None]) -> None:
        self._manifest.outcome(outcome)
        told(outcome)


def _wait(future: Future[Any]) -> Any:
    while True:
        try:
            return future.result(POLL)
        except NotYetError:
            if future.done():
                raise
