"""What a person gets to see of a run: on a terminal a bar, then a table; elsewhere a line for each case as it comes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import rich.box
import rich.console
import rich.markup
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from segcli.outcome import Outcome, Report

if TYPE_CHECKING:
    from segcli.reporting.content import RunFacts


class _Out(rich.console.Console):
    def on_broken_pipe(self) -> None:
        """rich would end the program here, as a signal does; :func:`silent_if_unread` goes on without a reader."""
        raise BrokenPipeError


@dataclass(frozen=True)
class ConsoleOptions:
    """How much is shown, and how. ``paths``: show paths although the output is no terminal."""

    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    json: bool = False
    paths: bool = False


class Console:
    """Listens to a run and tells it in words. Where the output is no terminal: no colour, and ids instead of paths."""

    def __init__(self, options: ConsoleOptions, output: Path) -> None:
        self._options = options
        self._output = output
        self._terminal = sys.stdout.isatty()
        self._out = _Out(
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

    def begun(self, facts: RunFacts) -> None:
        """With ``-v``: model and device; with ``-vv``: versions and settings too."""
        model, machine = facts.model, facts.machine
        self._more(1, f"model {model['name']} {model['version']} ({model['plugin']}, {model['distribution']})")
        self._more(1, f"{machine['device']}, {machine['precision']}, batches of {machine['batch']}")
        self._more(2, ", ".join(f"{name} {value}" for name, value in facts.versions.items()))
        self._more(2, ", ".join(f"{name} {value}" for name, value in facts.settings.items()))

    def planned(self, jobs: int, found: int, seconds: float) -> None:
        """So many cases will be run, of so many found."""
        self._more(1, f"found {found} cases in {seconds:.1f} s, {jobs} to segment")
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
            with silent_if_unread():
                self._line(outcome)

    def show(self, report: Report) -> None:
        """The table and the sum, at the end."""
        with silent_if_unread():
            if self._terminal:
                self._show_cases(report)
            if not self._options.quiet:
                counts = ", ".join(f"{count} {status}" for status, count in sorted(report.counts.items()))
                where = f" → {printable(str(self._output))}" if self._terminal or self._options.paths else ""
                nothing = "nothing to do here" if report.found else "no case found"  # an empty shard; --retry-failed
                self._out.print(f"{counts or nothing}{where}", markup=False)
        if report.message is not None:
            print(f"segcli: {printable(report.message)}", file=sys.stderr)

    def _show_cases(self, report: Report) -> None:
        if not self._options.quiet:
            self._out.print(_table(report))
        for outcome in report.outcomes:
            name = printable(outcome.name)
            if outcome.status == "failed" or (outcome.status == "skipped" and not self._options.quiet):
                style = "red" if outcome.status == "failed" else "dim"
                self._out.print(f"{outcome.status} {name}: {printable(outcome.reason)}", style=style, markup=False)
            for warning in outcome.warnings if not self._options.quiet else ():
                self._out.print(f"warning {name}: {printable(warning)}", style="yellow", markup=False)
            for line in self._details(outcome):
                self._out.print(f"{name}: {line}", style="dim", markup=False)

    def _line(self, outcome: Outcome) -> None:
        name = printable(outcome.name) if self._options.paths else outcome.id
        parts = [name, outcome.format or "-", outcome.status]
        if outcome.reason:
            parts.append(printable(outcome.reason))
        parts += [f"{name} {_volume(found)}" for name, found in outcome.volumes.items() if found["pixels"]]
        if outcome.tiles:
            parts.append(f"gated {outcome.tiles_gated}/{outcome.tiles}")
        if outcome.slices_emptied:
            parts.append(f"emptied {outcome.slices_emptied} slices")
        self._out.print(" | ".join(parts), markup=False)
        for warning in outcome.warnings:
            self._out.print(f"{name} | warning: {printable(warning)}", markup=False)
        for line in self._details(outcome):
            self._out.print(f"{name} | {line}", markup=False)

    def _details(self, outcome: Outcome) -> Iterator[str]:
        if self._options.verbose >= 1 and not self._options.quiet and outcome.seconds:
            yield "seconds: " + ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in outcome.seconds.items())
        if self._options.verbose >= 1 and not self._options.quiet and outcome.presence:
            yield "presence: " + ", ".join(f"{label} {score:.3f}" for label, score in outcome.presence.items())
        if self._options.verbose >= 2 and not self._options.quiet and outcome.key:
            yield f"key {outcome.key}, SHA-256 of the mask {outcome.sha256}"

    def _more(self, verbosity: int, text: str) -> None:
        if self._options.verbose >= verbosity and not self._options.quiet:
            with silent_if_unread():
                self._out.print(printable(text), markup=False)


@contextlib.contextmanager
def silent_if_unread() -> Iterator[None]:
    """Nobody reads on, or the log's disk is full: no reason to end the run, but from here on it is silent."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def printable(text: str | None) -> str:
    """``text`` with everything escaped that could move a cursor, end a line, or not be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text or "")


def _table(report: Report) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("case", "format", "size", "labels found", "gated", "seconds", "output"):
        table.add_column(heading, overflow="fold")
    for outcome in report.outcomes:
        if outcome.status in ("skipped", "failed"):
            continue
        found = [f"{name} {_volume(volume)}" for name, volume in outcome.volumes.items() if volume["pixels"]]
        table.add_row(
            rich.markup.escape(printable(outcome.name)),
            outcome.format,
            " × ".join(map(str, outcome.shape or ())),
            "\n".join(found) or f"none ({outcome.reason})",
            f"{outcome.tiles_gated / outcome.tiles:.0%}" if outcome.tiles else "",
            "unchanged" if outcome.status == "unchanged" else f"{sum(outcome.seconds.values()):.2f}",
            rich.markup.escape(printable(outcome.output)),
        )
    return table


def _volume(found: object) -> str:
    assert isinstance(found, dict)  # noqa: S101 - of our own making
    if found["mm3"] is None:
        return f"{found['pixels']} px"
    return f"{found['mm3']:.0f} mm³"
