"""The log for machines: one JSON object a line, case ids only."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from segcli.batch.observer import RunObserver
from segcli.cli.console import ConsoleOptions
from segcli.cli.terminal import silent_if_unread
from segcli.outcome import Outcome, Report

if TYPE_CHECKING:
    from segcli.outcome import Job
    from segcli.reporting.content import RunFacts

_PATHS = ("name", "output")
_ONLY_FOR_THE_NEXT_RUN = ("stat", "key", "sha256")


class JsonLog(RunObserver):
    """A line per event: ``case`` and ``end``; with ``-v`` also ``begun`` and ``planned``."""

    def __init__(self, options: ConsoleOptions) -> None:
        self._options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_begin(self, facts: RunFacts) -> None:
        """With ``-v``: model, machine, versions, settings."""
        if self._options.verbose and not self._options.quiet:
            self._write("begun", facts.to_json())

    def on_plan(self, jobs: Sequence[Job], found: int, seconds: float) -> None:
        """With ``-v``: what the scan found."""
        if self._options.verbose and not self._options.quiet:
            self._write("planned", {"found": found, "planned": len(jobs), "seconds": round(seconds, 3)})

    def on_result(self, outcome: Outcome) -> None:
        """One more case has an outcome."""
        if self._options.quiet and outcome.status != "failed":
            return
        value = outcome.to_json()
        hidden = set(() if self._options.paths else _PATHS)
        hidden.update(() if self._options.verbose >= 2 else _ONLY_FOR_THE_NEXT_RUN)
        hidden.update(() if self._options.verbose else ("geometry", "slice_presence"))
        self._write("case", {name: value[name] for name in value if name not in hidden})

    def show(self, report: Report) -> None:
        """The sum, at the end."""
        if not self._options.quiet or report.message is not None:
            counts, code = dict(report.counts), report.exit_code
            self._write("end", {"exit_code": code, "counts": counts, "message": report.message})

    def _write(self, event: str, value: dict[str, Any]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with silent_if_unread():
            print(json.dumps({"time": now, "event": event, **value}), flush=True)
