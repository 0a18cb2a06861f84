"""Reading ahead of the network, within a budget of bytes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Protocol

from segcli.batch.fingerprint import fingerprint
from segcli.case import Case
from segcli.formats.interface import ReadRequest
from segcli.formats.messages import Delivery
from segcli.outcome import Job

TICK = 0.2
"""Seconds of one wait; between two the run looks at signals and at its threads."""

_MOST = 16
_BYTES_PER_PIXEL = 4


class Reading(Protocol):
    """What reads cases: :class:`segcli.formats.readers.Readers`."""

    def submit_read(self, case: Case, request: ReadRequest, deadline: float | None = None) -> Future[Delivery]:
        """Begin to read; the future gives the case or its error."""
        ...


@dataclass
class Read:
    """A job whose reading has ended. ``inputs``: fingerprint of its files before they were read."""

    job: Job
    inputs: str | None
    future: Future[Delivery]


@dataclass(frozen=True)
class ReadAhead:
    """Reads jobs in order, as many at a time as fit into ``budget`` bytes, at least one.

    ``request``: of a case, for the reader. ``deadline``: seconds for reading one case. ``stopped`` is asked in every
    wait: once it is true no more jobs come.
    """

    readers: Reading
    request: ReadRequest
    budget: int
    deadline: float | None
    stopped: Callable[[], bool]

    def read(self, jobs: Sequence[Job]) -> Iterator[Read]:
        """Each job once its reading has ended. Jobs that were not reached are cancelled."""
        rest = deque(jobs)
        reading: deque[tuple[Read, int]] = deque()
        held = 0
        try:
            while rest or reading:
                while rest and len(reading) < _MOST:
                    size = expected_bytes(rest[0].case)
                    if reading and held + size > self.budget:
                        break
                    reading.append((self._begin(rest.popleft()), size))
                    held += size
                first, size = reading[0]
                while not wait([first.future], timeout=TICK).done:
                    if self.stopped():
                        return
                if self.stopped():
                    return
                reading.popleft()
                held -= size
                yield first
                del first  # or its pixels would live until the next has been read
        finally:
            for later, _ in reading:
                later.future.cancel()

    def _begin(self, job: Job) -> Read:
        inputs = fingerprint(job.case.files)
        return Read(job, inputs, self.readers.submit_read(job.case, self.request, self.deadline))


def expected_bytes(case: Case) -> int:
    """Bytes its pixels will take, from the headers; from the files where these do not tell."""
    if case.shape is not None:
        return math.prod(case.shape) * _BYTES_PER_PIXEL
    total = 0
    for path in case.files:
        try:
            total += path.stat().st_size
        except OSError:
            continue  # reading it will tell
    return total * _BYTES_PER_PIXEL
