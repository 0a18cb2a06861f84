"""Where all threads of a run bring its outcomes: into the manifest first, then to whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from segcli.batch.listener import Listener
from segcli.batch.manifest import Manifest
from segcli.outcome import Job, Outcome


class Record:
    """Outcomes of this run by case id, and the cases that have been started without one yet."""

    def __init__(self, manifest: Manifest, listener: Listener) -> None:
        self._manifest, self._listener = manifest, listener
        self._guard = threading.Lock()
        self._outcomes: dict[str, Outcome] = {}
        self._started: dict[str, Job] = {}

    def start(self, job: Job) -> None:
        """The case goes into the network. Raises OSError if the manifest cannot take it."""
        self._manifest.started(job)
        with self._guard:
            self._started[job.case.id] = job

    def add(self, outcome: Outcome) -> None:
        """The case has come to its end. Raises OSError if the manifest cannot take it."""
        self._manifest.outcome(outcome)
        with self._guard:
            self._started.pop(outcome.id, None)
            self._outcomes[outcome.id] = outcome
            self._listener.finished(outcome)

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """All so far."""
        with self._guard:
            return tuple(self._outcomes.values())

    @property
    def started(self) -> Sequence[Job]:
        """Jobs in the network or behind it."""
        with self._guard:
            return tuple(self._started.values())
