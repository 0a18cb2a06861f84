"""What a person (a table, a bar) or a log (plain or JSON lines, case ids only) gets to see of a run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import rich.box
import rich.console
import rich.markup
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from segcli.outcome import Outcome, Report


@dataclass(frozen=True)
class ConsoleOptions:
    """How much is shown, and how. ``paths``: show paths although the output is no terminal."""

    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    json: bool = False
    paths: bool = False


class Console:
    """Listens to a run. On a terminal: a progress bar, then a table; elsewhere a line per case as it comes."""

    def __init__(self, options: ConsoleOptions, output: Path) -> None:
        self._options = options
        self._output = output
        self._terminal = sys.stdout.isatty() and not options.json
        self._out = rich.console.Console(highlight=False, soft_wrap=not self._terminal)
        self._finished = 0
        self._progress: Progress | None = None
        if self._terminal and options.progress and not options.quiet:
            self._progress = Progress(
                TextColumn("segmenting"), BarColumn(), MofNCompleteColumn(), TextColumn("cases"), TimeElapsedColumn(),
                console=self._out, transient=True,
            )  # fmt: skip
        self._task = None if self._progress is None else self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def planned(self, jobs: int) -> None:
        """So many cases will be run."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=jobs)

    def progress(self, done: int, total: int) -> None:
        """So many of the tiles of the next case are done: the bar moves within a case too."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._finished + done / max(1, total))

    def told(self, outcome: Outcome) -> None:
        """One more case has an outcome."""
        if self._progress is not None and self._task is not None and outcome.tiles and outcome.status != "unchanged":
            self._finished += 1
            self._progress.update(self._task, completed=self._finished)
        if not self._terminal and not (self._options.quiet and outcome.status != "failed"):
            self._line(outcome)

    def show(self, report: Report) -> None:
        """The table and the sum, at the end."""
        if self._terminal and not self._options.quiet:
            self._out.print(_table(report))
        if self._terminal:
            for outcome in report.outcomes:
                if outcome.status == "failed" or (outcome.status == "skipped" and not self._options.quiet):
                    style = "red" if outcome.status == "failed" else "dim"
                    self._out.print(f"{outcome.status} {outcome.name}: {outcome.reason}", style=style, markup=False)
                for warning in outcome.warnings if not self._options.quiet else ():
                    self._out.print(f"warning {outcome.name}: {warning}", style="yellow", markup=False)
        if report.message is not None and not self._options.json:
            print(f"segcli: {report.message}", file=sys.stderr)
        if not self._options.quiet and not self._options.json:
            counts = (
                ", ".join(f"{count} {status}" for status, count in sorted(report.counts.items())) or "no case found"
            )
            where = f" → {self._output}" if self._terminal or self._options.paths else ""
            self._out.print(f"{counts}{where}", markup=False)

    def _line(self, outcome: Outcome) -> None:
        named = self._options.paths
        if self._options.json:
            value = outcome.to_json()
            for hidden in ("stat", "key", "sha256"):
                del value[hidden]
            if not named:
                del value["name"], value["output"]
            print(json.dumps(value), flush=True)
            return
        parts = [outcome.name if named else outcome.id, outcome.format or "-", outcome.status]
        if outcome.reason:
            parts.append(outcome.reason)
        parts += [f"{name} {_volume(found)}" for name, found in outcome.volumes.items() if found["pixels"]]
        if outcome.tiles:
            parts.append(f"gated {outcome.tiles_gated}/{outcome.tiles}")
        self._out.print(" | ".join(parts), markup=False)
        for warning in outcome.warnings:
            self._out.print(f"{parts[0]} | warning: {warning}", markup=False)


def _table(report: Report) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("case", "format", "size", "labels found", "gated", "seconds", "output"):
        table.add_column(heading, overflow="fold")
    for outcome in report.outcomes:
        if outcome.status in ("skipped", "failed"):
            continue
        found = [f"{name} {_volume(volume)}" for name, volume in outcome.volumes.items() if volume["pixels"]]
        table.add_row(
            rich.markup.escape(outcome.name),
            outcome.format,
            " × ".join(map(str, outcome.shape or ())),
            "\n".join(found) or f"none ({outcome.reason})",
            f"{outcome.tiles_gated / outcome.tiles:.0%}" if outcome.tiles else "",
            "unchanged" if outcome.status == "unchanged" else f"{sum(outcome.seconds.values()):.2f}",
            rich.markup.escape(outcome.output or ""),
        )
    return table


def _volume(found: object) -> str:
    assert isinstance(found, dict)  # noqa: S101 - of our own making
    if found["mm3"] is None:
        return f"{found['pixels']} px"
    return f"{found['mm3']:.0f} mm³"
