"""``segcli inspect``: what predict would find, from headers alone."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def inspect(path: Path, as_json: bool) -> None:
    """Cases below PATH, and what would be skipped and why."""
    from segcli.formats.readers import Readers  # noqa: PLC0415 - `segcli --help` stays light
    from segcli.formats.scan import ScanOptions, scan  # noqa: PLC0415

    with Readers(1) as readers:
        found = scan([path], ScanOptions(key=b"inspect"), readers)
    cases = [
        {
            "name": case.name,
            "format": case.format,
            "files": len(case.files),
            "modality": case.modality,
            "shape": case.shape,
            "spacing": case.spacing,
            "orientation": case.orientation,
            "transfer_syntax": case.transfer_syntax,
            "mask": str(case.output),
            "warnings": case.warnings,
        }
        for case in found.cases
    ]
    left = [{"name": e.name, "status": e.status, "format": e.format, "reason": e.reason} for e in found.left_out]
    if as_json:
        click.echo(json.dumps({"cases": cases, "left_out": left}, indent=1))
        return
    for case, row in zip(found.cases, cases, strict=True):
        size = " × ".join(map(str, case.shape or ()))
        spacing = " × ".join(f"{step:g}" for step in case.spacing or ()) or "unknown"
        click.echo(
            f"{case.name}  {case.format} {case.modality or ''}  {size}  spacing {spacing} mm  "
            f"orientation {case.orientation or 'unknown'}  {row['files']} file(s)  {case.transfer_syntax or ''}"
        )
        for warning in case.warnings:
            click.echo(f"  warning: {warning}")
    for entry in found.left_out:
        click.echo(f"{entry.name}  {entry.status}: {entry.reason}")
