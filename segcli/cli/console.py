"""What a person gets to see of a run: on a terminal a bar, then a table; elsewhere a line for each case as it comes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import rich.box
import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from segcli.batch.observer import RunObserver
from segcli.cli.terminal import printable, say, silent_if_unread
from segcli.outcome import Outcome, Report

if TYPE_CHECKING:
    from segcli.case import Case
    from segcli.outcome import Job
    from segcli.reporting.content import RunFacts


class Out(rich.console.Console):
    """What rich prints a command's result with."""

    def on_broken_pipe(self) -> None:
        """rich would end the program here, as a signal does; :func:`silent_if_unread` goes on without a reader."""
        raise BrokenPipeError


@dataclass(frozen=True)
class ConsoleOptions:
    """How much is shown, and how.

    ``paths``: show paths although the output is no terminal. ``group``: files skipped for one reason are one line.
    """

    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    json: bool = False
    paths: bool = False
    group: bool = False


class Console(RunObserver):
    """Tells a run in words. Where the output is no terminal: no colour, and ids instead of paths.

    Names and reasons are made of what files and models say; all of them are printed as they are, never as markup.
    """

    def __init__(self, options: ConsoleOptions, output: Path) -> None:
        self._options = options
        self._output = output
        self._terminal = sys.stdout.isatty()
        self._out = Out(
            highlight=False,
            soft_wrap=not self._terminal,
            force_terminal=self._terminal,
            color_system="auto" if self._terminal else None,  # whatever FORCE_COLOR says
        )
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

    def on_begin(self, facts: RunFacts) -> None:
        """With ``-v``: model and device; with ``-vv``: versions and settings too."""
        model, machine = facts.model, facts.machine
        self._more(1, f"model {model['name']} {model['version']} ({model['plugin']}, {model['distribution']})")
        self._more(1, f"{machine['device']}, {machine['precision']}, batches of {machine['batch']}")
        self._more(2, ", ".join(f"{name} {value}" for name, value in facts.versions.items()))
        self._more(2, ", ".join(f"{name} {value}" for name, value in facts.settings.items()))

    def on_plan(self, jobs: Sequence[Job], found: int, seconds: float) -> None:
        """How much there is to do."""
        self._more(1, f"found {found} cases in {seconds:.1f} s, {len(jobs)} to segment")
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=len(jobs))

    def on_progress(self, case: Case, done: int, total: int) -> None:
        """The bar moves within a case too."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._finished + done / max(1, total))

    def on_result(self, outcome: Outcome) -> None:
        """One more case has an outcome."""
        if self._progress is not None and self._task is not None and outcome.tiles and outcome.status != "unchanged":
            self._finished += 1
            self._progress.update(self._task, completed=self._finished)
        later = self._options.group and outcome.status == "skipped"
        if not self._terminal and not later and not (self._options.quiet and outcome.status != "failed"):
            with silent_if_unread():
                self._line(outcome)

    def show(self, report: Report) -> None:
        """The table and the sum, at the end."""
        with silent_if_unread():
            if self._terminal:
                self._show_cases(report)
            elif self._options.group and not self._options.quiet:
                self._show_skipped(report)
            if not self._options.quiet:
                counts = ", ".join(f"{count} {status}" for status, count in sorted(report.counts.items()))
                where = f" → {self._output}" if self._terminal or self._options.paths else ""
                nothing = "nothing to do here" if report.found else "no case found"  # an empty shard; --retry-failed
                left = f", {len(report.pending)} left for the next run" if report.pending else ""
                self._print(f"{counts or nothing}{left}{where}")
                if report.outcomes and not (self._terminal or self._options.paths):
                    self._print("report.json in the output folder names every file; --log-paths shows the names here")
        if report.message is not None:
            say(f"segcli: {report.message}", err=True)

    def _show_cases(self, report: Report) -> None:
        if not self._options.quiet:
            self._out.print(_table(report))
            self._show_skipped(report)
        for outcome in report.outcomes:
            if outcome.status == "failed":
                self._print(f"failed {outcome.name}: {outcome.reason}", "red")
            for warning in outcome.warnings if not self._options.quiet else ():
                self._print(f"warning {outcome.name}: {warning}", "yellow")
            for line in self._details(outcome):
                self._print(f"{outcome.name}: {line}", "dim")

    def _show_skipped(self, report: Report) -> None:
        """A line for each reason with its number of files, if they are to be grouped; else one for each file."""
        skipped = [outcome for outcome in report.outcomes if outcome.status == "skipped"]
        alike = Counter((outcome.reason, None if self._options.group else outcome.id) for outcome in skipped)
        for outcome in skipped:
            number = alike.pop((outcome.reason, None if self._options.group else outcome.id), 0)
            if number > 1:
                self._print(f"{number} skipped: {outcome.reason}", "dim")
            elif number and self._terminal:
                self._print(f"skipped {outcome.name}: {outcome.reason}", "dim")
            elif number:
                self._line(outcome)

    def _line(self, outcome: Outcome) -> None:
        name = outcome.name if self._options.paths else outcome.id
        parts = [name, outcome.format or "-", _size(outcome) or "-", outcome.status]
        if outcome.reason:
            parts.append(outcome.reason)
        parts += [f"{label} {_volume(found)}" for label, found in outcome.volumes.items() if found["pixels"]]
        if outcome.tiles_gated:
            parts.append(f"{outcome.tiles_gated} of {outcome.tiles} tiles skipped as empty")
        if outcome.slices_emptied:
            parts.append(f"a label taken off {outcome.slices_emptied} slices as improbable")
        self._print(" | ".join(parts))
        for warning in outcome.warnings:
            self._print(f"{name} | warning: {warning}")
        for line in self._details(outcome):
            self._print(f"{name} | {line}")

    def _details(self, outcome: Outcome) -> Iterator[str]:
        if self._options.verbose >= 1 and not self._options.quiet and outcome.seconds:
            yield "seconds: " + ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in outcome.seconds.items())
        if self._options.verbose >= 1 and not self._options.quiet and outcome.presence:
            scores = ", ".join(f"{label} {score:.3f}" for label, score in outcome.presence.items())
            yield f"highest score (no confidence in the mask): {scores}"
        if self._options.verbose >= 2 and not self._options.quiet and outcome.key:
            yield f"key {outcome.key}, SHA-256 of the mask {outcome.sha256}"

    def _more(self, verbosity: int, text: str) -> None:
        if self._options.verbose >= verbosity and not self._options.quiet:
            with silent_if_unread():
                self._print(text)

    def _print(self, text: str, style: str = "") -> None:
        self._out.print(Text(printable(text), style))


def _table(report: Report) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("case", "format", "size", "labels found", "tiles skipped as empty", "seconds", "output"):
        table.add_column(heading, overflow="fold")
    for outcome in report.outcomes:
        if outcome.status in ("skipped", "failed"):
            continue
        found = [printable(f"{name} {_volume(volume)}") for name, volume in outcome.volumes.items() if volume["pixels"]]
        cells = (
            printable(outcome.name),
            printable(outcome.format),
            _size(outcome),
            "\n".join(found) or printable(f"none ({outcome.reason})"),
            f"{outcome.tiles_gated} of {outcome.tiles}" if outcome.tiles else "",
            "unchanged" if outcome.status == "unchanged" else f"{sum(outcome.seconds.values()):.2f}",
            printable(outcome.output),
        )
        table.add_row(*map(Text, cells))
    return table


def _size(outcome: Outcome) -> str:
    return " × ".join(map(str, outcome.shape or ()))


def _volume(found: Mapping[str, float | None]) -> str:
    if found["mm3"] is None:
        return f"{found['pixels']} px"
    return f"{found['mm3']:.0f} mm³"
