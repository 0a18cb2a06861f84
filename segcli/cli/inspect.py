"""``segcli inspect``: what predict would find, from headers alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from segcli.cli.console import printable


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--log-paths", is_flag=True, help="Paths also where the output is not a terminal.")
def inspect(path: Path, as_json: bool, log_paths: bool) -> None:
    """Cases below PATH, and what would be skipped and why.

    Where the output is no terminal cases are called by numbers, not by their paths, unless --log-paths is given.
    """
    from segcli.formats.readers import Readers  # noqa: PLC0415 - `segcli --help` stays light
    from segcli.formats.scan import ScanOptions, scan  # noqa: PLC0415

    with Readers(1) as readers:
        found = scan([path], ScanOptions(key=b"inspect"), readers)
    named = log_paths or sys.stdout.isatty()
    names = {case.id: printable(case.name) if named else f"case {number}" for number, case in enumerate(found.cases, 1)}
    left_names = [printable(e.name) if named else f"file {number}" for number, e in enumerate(found.left_out, 1)]
    cases = [
        {
            "name": names[case.id],
            "format": case.format,
            "files": len(case.files),
            "modality": case.modality,
            "shape": case.shape,
            "spacing": case.spacing,
            "orientation": case.orientation,
            "transfer_syntax": case.transfer_syntax,
            "mask": str(case.output) if named else None,
            "warnings": case.warnings,
        }
        for case in found.cases
    ]
    left = [
        {"name": name, "status": e.status, "format": e.format, "reason": e.reason}
        for name, e in zip(left_names, found.left_out, strict=True)
    ]
    if as_json:
        click.echo(json.dumps({"cases": cases, "left_out": left}, indent=1))
        return
    for case, row in zip(found.cases, cases, strict=True):
        size = " × ".join(map(str, case.shape or ()))
        spacing = " × ".join(f"{step:g}" for step in case.spacing or ()) or "unknown"
        click.echo(
            f"{row['name']}  {case.format} {case.modality or ''}  {size}  spacing {spacing} mm  "
            f"orientation {case.orientation or 'unknown'}  {row['files']} file(s)  {case.transfer_syntax or ''}"
        )
        for warning in case.warnings:
            click.echo(f"  warning: {warning}")
    for name, entry in zip(left_names, found.left_out, strict=True):
        click.echo(f"{name}  {entry.status}: {entry.reason}")
