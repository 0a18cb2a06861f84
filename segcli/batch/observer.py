"""How a run goes, told to whoever wants to know: the console, the JSON log, Python's logging, the watchdog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line derives from this before anything heavy is imported
    from segcli.case import Case
    from segcli.outcome import Job, Outcome, Report
    from segcli.reporting.content import RunFacts


class RunObserver:
    """Override what you want to hear. All calls come from the thread of the run, none while the network works."""

    def on_begin(self, facts: RunFacts) -> None:
        """The set-up is sound; the scan begins."""

    def on_plan(self, jobs: Sequence[Job], found: int, seconds: float) -> None:
        """Called after planning: what will be run, of how many cases found, and the seconds of the scan."""

    def on_start(self, case: Case) -> None:
        """A case was read and is about to be segmented."""

    def on_network(self, *, busy: bool) -> None:
        """The network begins to work, or it is done and waits for its next turn."""

    def on_progress(self, case: Case, done: int, total: int) -> None:
        """Called after every batch: tiles done and in all of the oldest case in flight."""

    def on_result(self, outcome: Outcome) -> None:
        """One more case has an outcome."""

    def on_end(self, report: Report) -> None:
        """The run is over and its report is written."""


class Observers(RunObserver):
    """Several observers, told in their order."""

    def __init__(self, observers: Sequence[RunObserver]) -> None:
        self._observers = tuple(observers)

    def on_begin(self, facts: RunFacts) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_begin(facts)

    def on_plan(self, jobs: Sequence[Job], found: int, seconds: float) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_plan(jobs, found, seconds)

    def on_start(self, case: Case) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_start(case)

    def on_network(self, *, busy: bool) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_network(busy=busy)

    def on_progress(self, case: Case, done: int, total: int) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_progress(case, done, total)

    def on_result(self, outcome: Outcome) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_result(outcome)

    def on_end(self, report: Report) -> None:
        """Pass it on."""
        for each in self._observers:
            each.on_end(report)
