"""``segcli report``: show a finished run again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from segcli.cli.console import Console, ConsoleOptions
from segcli.errors import UsageError
from segcli.outcome import REPORT_SCHEMA, Outcome, Report


@click.command()
@click.argument("output", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(output: Path) -> int:
    """Show the report of the run that wrote OUTPUT; the exit code is that run's."""
    path = output / "report.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != REPORT_SCHEMA:
            raise UsageError(f"{path}: written by another version of segcli (schema {content['schema']})")
        outcomes = tuple(Outcome.from_json(case) for case in content["cases"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no report of segcli is there ({type(error).__name__})") from error
    console = Console(ConsoleOptions(progress=False), output)
    for outcome in outcomes:
        console.told(outcome)
    console.show(Report(outcomes))
    return int(content["exit_code"])
