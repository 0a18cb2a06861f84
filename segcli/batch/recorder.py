"""The outcomes of a run so far, and the report of them."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import replace

from segcli.batch.context import RunContext
from segcli.batch.manifest import ManifestError
from segcli.batch.observer import RunObserver
from segcli.errors import SegcliError
from segcli.exit_code import ExitCode
from segcli.outcome import Job, Outcome, Report
from segcli.reporting.content import report_content
from segcli.reporting.files import write_report
from segcli.settings import PredictSettings

GONE = "its mask was removed or changed by another program before the run was over: find out by which, then run again"


class RunRecorder(RunObserver):
    """Hears what was planned and every outcome, and writes the report. ``others`` hear of what only it can know."""

    def __init__(self, context: RunContext, settings: PredictSettings, others: RunObserver) -> None:
        self._context, self._settings, self._others = context, settings, others
        self._begun = time.monotonic()
        self._scan = 0.0
        self._outcomes: list[Outcome] = []
        self._jobs: Sequence[Job] = ()
        self._found = 0
        self._written: dict[str, tuple[int, int, int] | None] = {}

    def on_plan(self, jobs: Sequence[Job], found: int, seconds: float) -> None:
        """The manifest remembers the numbers."""
        self._jobs, self._found, self._scan = jobs, found, seconds
        self._context.manifest.scanned(found, len(jobs))

    def on_result(self, outcome: Outcome) -> None:
        """Keep it, and how its mask lies on the disk."""
        self._outcomes.append(outcome)
        self._written[outcome.id] = self._on_disk(outcome)

    def report(self, ended: int | None, message: str | None) -> Report:
        """Write the report; that it cannot be written ends the run early too."""
        self._look_after_masks()
        known = {outcome.id for outcome in self._outcomes}
        report = Report(
            tuple(self._outcomes),
            ended,
            self._settings.shard,
            message,
            self._found,
            tuple(job.case.id for job in self._jobs if job.case.id not in known),
            {"total": round(time.monotonic() - self._begun, 3), "scan": round(self._scan, 3)},
        )
        context = self._context
        try:
            content = report_content(context.facts, report)
            write_report(context.output, content, private=self._settings.private, token=context.token)
        except SegcliError as error:
            first = "" if message is None else f"{message}; "
            report = replace(
                report, ended=ended or ExitCode.ENDED_EARLY, message=f"{first}the report is not written: {error}"
            )
        self._others.on_end(report)
        return report

    def _look_after_masks(self) -> None:
        """A mask that is no longer there, or not the one that was written, is not done."""
        for number, outcome in enumerate(self._outcomes):
            if outcome.status not in ("done", "empty", "unchanged"):
                continue
            there = self._on_disk(outcome)
            if there is None or there != self._written[outcome.id]:
                lost = Outcome(
                    outcome.id, outcome.name, "failed", outcome.format, GONE, "WriteError", outcome.output,
                    outcome.shape, outcome.spacing, outcome.orientation, warnings=outcome.warnings,
                )  # fmt: skip
                self._outcomes[number] = lost
                with contextlib.suppress(ManifestError):  # the next run sees for itself that it is gone
                    self._context.manifest.outcome(lost)
                self._others.on_result(lost)

    def _on_disk(self, outcome: Outcome) -> tuple[int, int, int] | None:
        """Size, time of writing and inode of the mask, which no reader of it changes; None if there is no such file."""
        if outcome.output is None:
            return None
        try:
            found = os.lstat(self._context.output / outcome.output)
        except OSError:
            return None
        return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None
