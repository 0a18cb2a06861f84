"""Reading ahead: how a case is asked for, what it takes of the memory, whether its files stayed as they were."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from segcli.batch.key import stat_of
from segcli.case import Case
from segcli.errors import UnreadableError
from segcli.formats.interface import HOLD_PIXELS, MaskRequest, ReadRequest
from segcli.formats.readers import ReadCase, Readers
from segcli.outcome import Job

T = TypeVar("T")
Stat = tuple[tuple[int, int, int], ...]

ASSUMED_BYTES = 64 * 2**20
"""Size of a case whose headers do not say, and of one that is read in bands."""
MAX_AHEAD = 16
"""Cases read ahead, however small: each holds a file descriptor."""
_POLL = 0.2
"""Seconds after which a wait looks around: the main thread must stay open to signals."""


@dataclass(frozen=True)
class Reading:
    """A case a reader process was asked for. ``bytes``: what it will take in memory. ``stat``: of its files before."""

    job: Job
    stat: Stat
    future: Future[ReadCase]
    bytes: int


class ReadAhead:
    """Has cases read while others are segmented, as many as ``--memory`` allows, and one even if it does not."""

    def __init__(self, readers: Readers, request: MaskRequest, stop: Callable[[], bool]) -> None:
        self._readers, self._stop = readers, stop
        self._settings = request.settings
        self._request = read_request(request)

    def read(self, jobs: Sequence[Job]) -> Iterator[Reading]:
        """Each case in its turn once it was read, its future done; no further one once ``stop()`` is true."""
        waiting = deque(jobs)
        reading: deque[Reading] = deque()
        held = 0
        try:
            while (waiting or reading) and not self._stop():
                while waiting and (not reading or (held < self._settings.memory and len(reading) < MAX_AHEAD)):
                    reading.append(self._asked(waiting.popleft()))
                    held += reading[-1].bytes
                wait_for(reading[0].future)
                held -= reading[0].bytes
                yield reading.popleft()
        finally:
            for each in reading:
                each.future.cancel()

    def _asked(self, job: Job) -> Reading:
        try:
            stat = stat_of(job.case.files)
        except OSError as error:
            reason = f"a file of it vanished or is not readable ({error.strerror})"
            lost: Future[ReadCase] = Future()
            lost.set_exception(UnreadableError(reason))
            return Reading(job, (), lost, 0)
        future = self._readers.submit_read(job.case, self._request, self._settings.case_timeout)
        return Reading(job, stat, future, bytes_ahead(job.case, self._request.hold_pixels))


def read_request(request: MaskRequest) -> ReadRequest:
    """What every reader of a run is told."""
    return ReadRequest.of(request.card, request.settings, min(HOLD_PIXELS, request.settings.max_pixels))


def bytes_ahead(case: Case, hold_pixels: int | None) -> int:
    """Memory that a case takes from when it is read to when it is segmented.

    Of an image read in bands only some rows are ever held; counted in full, one of them would leave no room to read
    anything ahead of it.
    """
    if case.shape is None:
        return ASSUMED_BYTES
    pixels = math.prod(case.shape)
    if hold_pixels is not None and pixels > hold_pixels and case.banded:
        return min(ASSUMED_BYTES, 4 * pixels)
    return 4 * pixels


def refuse_changed(files: Sequence[Path], before: Stat) -> None:
    """Raise UnreadableError if a file is not as it was before it was read: what was read belongs to no one file."""
    try:
        same = stat_of(files) == before
    except OSError:
        same = False
    if not same:
        raise UnreadableError("the input changed while it was read: run again when it is complete")


def wait_for(future: Future[T]) -> None:
    """Wait until it is done, in ticks."""
    while not future.done():
        try:
            future.exception(_POLL)
        except NotYetError:
            continue
