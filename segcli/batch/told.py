"""What became of the cases so far, and the report of it."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from segcli.batch.history import History
from segcli.batch.manifest import ManifestError, ManifestWriter
from segcli.errors import SegcliError
from segcli.exit_code import ExitCode
from segcli.outcome import Job, Outcome, Report
from segcli.reporting.content import RunFacts, report_content
from segcli.reporting.files import write_report
from segcli.settings import PredictSettings

_LOG = logging.getLogger("segcli")
"""For programs that call us. Ids, statuses, counts and times only: no path, name or reason, nothing of a header."""
_LOG.addHandler(logging.NullHandler())  # quiet unless the program listens; here, so that --help imports no logging

GONE = "its mask was removed or changed by another program before the run was over: find out by which, then run again"


class Listener(Protocol):
    """Who is told how the run goes (the console)."""

    def begun(self, facts: RunFacts) -> None:
        """The set-up is sound; the scan begins."""
        ...

    def planned(self, jobs: int, found: int, seconds: float) -> None:
        """So many cases will be run, of so many that were found in so many seconds."""
        ...

    def told(self, outcome: Outcome) -> None:
        """One more case has an outcome."""
        ...

    def progress(self, done: int, total: int) -> None:
        """So many of the tiles of the next case to have an outcome are done."""
        ...


@dataclass(frozen=True)
class Books:
    """What an output folder remembers."""

    output: Path
    history: History
    manifest: ManifestWriter
    fingerprint: str
    token: str
    key: bytes
    facts: RunFacts


class Told:
    """What became of the cases so far, and the report of it."""

    def __init__(self, books: Books, settings: PredictSettings, listener: Listener) -> None:
        self._books, self._settings, self._listener = books, settings, listener
        self._begun = time.monotonic()
        self._scan = 0.0
        self.outcomes: list[Outcome] = []
        self.jobs: list[Job] = []
        self.found = 0
        self._written: dict[str, tuple[int, int, int] | None] = {}

    def begun(self) -> None:
        """The set-up is sound; the scan begins."""
        machine = self._books.facts.machine
        _LOG.info("run begun: %s, %s, batches of %s", machine["device"], machine["precision"], machine["batch"])
        self._listener.begun(self._books.facts)

    def planned(self, jobs: list[Job], found: int) -> None:
        """The scan is over."""
        self.jobs, self.found, self._scan = jobs, found, time.monotonic() - self._begun
        self._books.manifest.scanned(found, len(jobs))
        _LOG.info("%d cases found in %.1f s, %d to segment", found, self._scan, len(jobs))
        for job in jobs:
            self._log_retry(job.case.id)
        self._listener.planned(len(jobs), found, self._scan)

    def told(self, outcome: Outcome) -> None:
        """One more case has an outcome."""
        self.outcomes.append(outcome)
        self._written[outcome.id] = self._on_disk(outcome)
        self._tell(outcome)

    def report(self, ended: int | None, message: str | None) -> Report:
        """Write the report; that it cannot be written ends the run early too."""
        self._look_after_masks()
        told_of = {outcome.id for outcome in self.outcomes}
        report = Report(
            tuple(self.outcomes),
            ended,
            self._settings.shard,
            message,
            self.found,
            tuple(job.case.id for job in self.jobs if job.case.id not in told_of),
            {"total": round(time.monotonic() - self._begun, 3), "scan": round(self._scan, 3)},
        )
        books = self._books
        try:
            content = report_content(books.facts, report)
            write_report(books.output, content, private=self._settings.private, token=books.token)
        except SegcliError as error:
            first = "" if message is None else f"{message}; "
            report = replace(
                report, ended=ended or ExitCode.ENDED_EARLY, message=f"{first}the report is not written: {error}"
            )
        _LOG.info("run ended with %d: %s", report.exit_code, dict(report.counts))
        return report

    def _look_after_masks(self) -> None:
        """A mask that is no longer there, or not the one that was written, is not done."""
        for number, outcome in enumerate(self.outcomes):
            if outcome.status not in ("done", "empty", "unchanged"):
                continue
            there = self._on_disk(outcome)
            if there is None or there != self._written[outcome.id]:
                lost = Outcome(
                    outcome.id, outcome.name, "failed", outcome.format, GONE, "WriteError", outcome.output,
                    outcome.shape, outcome.spacing, outcome.orientation, warnings=outcome.warnings,
                )  # fmt: skip
                self.outcomes[number] = lost
                with contextlib.suppress(ManifestError):  # the next run sees for itself that it is gone
                    self._books.manifest.outcome(lost)
                self._tell(lost)

    def _tell(self, outcome: Outcome) -> None:
        status = outcome.status if outcome.error is None else f"{outcome.status} ({outcome.error})"
        _LOG.info("case %s: %s", outcome.id, status)
        _LOG.debug("case %s: %d tiles, %d of them gated, seconds %s", outcome.id, outcome.tiles, outcome.tiles_gated,
                   dict(outcome.seconds))  # fmt: skip
        self._listener.told(outcome)

    def _log_retry(self, case: str) -> None:
        history = self._books.history
        if history.deaths[case]:
            _LOG.info("case %s: was being worked on when a run died, tried again last and alone", case)
        elif case in history.outcomes and history.outcomes[case].status == "failed":
            _LOG.info("case %s: failed before, tried again", case)

    def _on_disk(self, outcome: Outcome) -> tuple[int, int, int] | None:
        """Size, time of writing and inode of the mask, which no reader of it changes; None if there is no such file."""
        if outcome.output is None:
            return None
        try:
            found = os.lstat(self._books.output / outcome.output)
        except OSError:
            return None
        return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None
