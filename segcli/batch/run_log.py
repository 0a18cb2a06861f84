"""The logger ``segcli``, for programs that call us: ids, statuses, counts and times, never a path, a name, a reason or
anything of a header.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from segcli.batch.history import History
from segcli.batch.observer import RunObserver
from segcli.outcome import Job, Outcome, Report
from segcli.reporting.content import RunFacts

_LOG = logging.getLogger("segcli")
_LOG.addHandler(logging.NullHandler())  # quiet unless the program listens; here, so that --help imports no logging


class RunLog(RunObserver):
    """Tells a run to Python's logging. ``history``: of the runs before."""

    def __init__(self, history: History) -> None:
        self._history = history

    def on_begin(self, facts: RunFacts) -> None:
        """Where it runs, and how."""
        machine = facts.machine
        _LOG.info("run begun: %s, %s, batches of %s", machine["device"], machine["precision"], machine["batch"])

    def on_plan(self, jobs: Sequence[Job], found: int, seconds: float) -> None:
        """How much there is to do, and what is tried again."""
        _LOG.info("%d cases found in %.1f s, %d to segment", found, seconds, len(jobs))
        for job in jobs:
            before = self._history.outcomes.get(job.case.id)
            if self._history.crash_count[job.case.id]:
                _LOG.info("case %s: was being worked on when a run died, tried again last and alone", job.case.id)
            elif before is not None and before.status == "failed":
                _LOG.info("case %s: failed before, tried again", job.case.id)

    def on_result(self, outcome: Outcome) -> None:
        """One case; tiles and seconds for debugging."""
        status = outcome.status if outcome.error is None else f"{outcome.status} ({outcome.error})"
        _LOG.info("case %s: %s", outcome.id, status)
        seconds = dict(outcome.seconds)
        _LOG.debug(
            "case %s: %d tiles, %d of them gated, seconds %s", outcome.id, outcome.tiles, outcome.tiles_gated, seconds
        )

    def on_end(self, report: Report) -> None:
        """The sum."""
        _LOG.info("run ended with %d: %s", report.exit_code, dict(report.counts))
