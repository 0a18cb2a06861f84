"""``segcli predict``."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from segcli.cli.console import Console, ConsoleOptions
from segcli.cli.json_log import JsonLog
from segcli.cli.options import GivenPath, plugins_option, predict_options
from segcli.cli.terminal import say
from segcli.errors import UsageError
from segcli.exit_code import ExitCode
from segcli.settings import PredictSettings

if TYPE_CHECKING:
    from segcli.outcome import Report


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=GivenPath(path_type=Path))
@click.option("-m", "--model", "models", required=True, multiple=True,
              help="A model's name (see `segcli models list`) or a model folder.")  # fmt: skip
@click.option("-o", "--output", type=GivenPath(path_type=Path), help="Output folder; default: INPUT_masks.")
@predict_options
@plugins_option
@click.option("-v", "--verbose", count=True, help="More; twice: tracebacks of bugs.")
@click.option("-q", "--quiet", is_flag=True, help="Failures only.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--log-paths", is_flag=True, help="Paths also where the output is not a terminal.")
def predict(
    inputs: tuple[Path, ...],
    models: tuple[str, ...],
    output: Path | None,
    verbose: int,
    quiet: bool,
    no_progress: bool,
    log_format: str,
    log_paths: bool,
    plugins_only: tuple[str, ...] | None,
    **settings: Any,
) -> int:
    """Segment every image below INPUT and write masks in matching formats."""
    if output is None and len(inputs) > 1:
        raise UsageError("several inputs need an output folder: give -o")
    if len(models) > 1:
        raise UsageError(f"{len(models)} times --model: run predict once for each model, each with an -o of its own")
    chosen = PredictSettings(**settings)
    from segcli.batch.plan import check_folders, default_output  # noqa: PLC0415 - usage first, heavy imports after
    from segcli.catalog import load_catalog  # noqa: PLC0415

    target = default_output(inputs[0]) if output is None else output
    check_folders(inputs, target)
    catalog = load_catalog(plugins_only)
    from segcli.batch.run import run  # noqa: PLC0415
    from segcli.batch.tools import Interrupt, Tools  # noqa: PLC0415
    from segcli.engine.allocator import keep_freed_memory  # noqa: PLC0415
    from segcli.engine.model import load_model  # noqa: PLC0415

    keep_freed_memory()
    loaded = load_model(models[0], catalog)
    for note in () if quiet else loaded.notes:
        say(f"note: {note}", err=True)
    interrupt = Interrupt()
    options = ConsoleOptions(quiet, verbose, not no_progress, log_format == "json", log_paths, group=not verbose)
    with _signals(interrupt), JsonLog(options) if options.json else Console(options, target) as console:
        report = run(inputs, target, loaded, chosen, console, interrupt, click.get_current_context().obj or Tools())
    console.show(report)
    if report.exit_code == ExitCode.NOTHING_TO_DO:
        say(f"segcli: {_nothing_to_do(report)}", err=True)
    return report.exit_code


def _nothing_to_do(report: Report) -> str:
    """Said with --quiet too: a mail about exit code 3 and no word helps nobody."""
    if report.out_of_scope:
        return "no image is of the kind this model is for (`segcli models show`); --any-scope segments all"
    if report.outcomes:
        return "no case is left: every file was skipped; report.json in the output folder has the reasons"
    return "the input holds no file: is it the right folder?"


@contextlib.contextmanager
def _signals(interrupt: Any) -> Iterator[None]:
    """The first signal drains the run if there is something to drain; the second ends it at once."""

    def heard(number: int, _: FrameType | None) -> None:
        ending = interrupt.at_once or interrupt.code is not None
        interrupt.code = ExitCode.of_signal(number)
        if ending:
            raise SystemExit(interrupt.code)
        say("segcli: finishing what is in flight; once more to stop at once", err=True)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
