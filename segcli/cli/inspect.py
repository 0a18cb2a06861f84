"""``segcli inspect``: what predict would do, from headers alone."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segcli.cli.options import SELECT
from segcli.cli.terminal import say, show

if TYPE_CHECKING:
    from segcli.case import Scan


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@SELECT
@click.option("--follow-links", is_flag=True, help="Follow links that leave the input.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--log-paths", is_flag=True, help="Paths also where the output is not a terminal.")
@click.option("--group", is_flag=True, help="Files left out for one reason are one line with their number.")
def inspect(
    path: Path, select: tuple[tuple[str, str], ...], follow_links: bool, as_json: bool, log_paths: bool, group: bool
) -> None:
    """Cases below PATH, and what would be skipped or fail and why. No pixel is decoded.

    Where the output is no terminal cases are called by numbers, not by their paths, unless --log-paths is given. On a
    terminal, and nowhere else, number and description of a DICOM series are shown, for --select.
    """
    from segcli.formats.readers import Readers  # noqa: PLC0415 - `segcli --help` stays light
    from segcli.formats.scan import ScanOptions, scan  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    options = ScanOptions(
        key=b"inspect", select=select, follow_links=follow_links, name_series=terminal and not as_json
    )
    with Readers(1) as readers:
        found = scan([path], options, readers)
    cases, left_out = _rows(found, log_paths or terminal)
    if as_json:
        show(json.dumps({"cases": cases, "left_out": left_out, "counts": _counts(cases, left_out)}, indent=1))
        return
    for row, case in zip(cases, found.cases, strict=True):
        _show_case(row, _series(found, case.files))
    if group:
        _show_reasons(left_out)
    else:
        for row, entry in zip(left_out, found.left_out, strict=True):
            _show_left_out(row, _series(found, entry.files))
    say(", ".join(f"{number} {word}" for word, number in _counts(cases, left_out).items()))


def _rows(found: Scan, named: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cases and left-out entries as JSON, without paths where these may not be told."""
    cases = [
        {
            "name": case.name if named else f"case {number}",
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
        for number, case in enumerate(found.cases, 1)
    ]
    left_out = [
        {
            "name": entry.name if named else f"left out {number}",
            "status": entry.status,
            "format": entry.format,
            "files": max(1, len(entry.files)),
            "reason": entry.reason,
        }
        for number, entry in enumerate(found.left_out, 1)
    ]
    return cases, left_out


def _series(found: Scan, files: Sequence[Path]) -> str:
    """``  series 4 "T1 mprage"`` of files whose series was asked for, else nothing."""
    number, description = found.series.get(files[0], ("", "")) if files else ("", "")
    stated = f' "{description}"' if description else ""
    return f"  series {number or 'without number'}{stated}" if number or description else ""


def _show_left_out(row: dict[str, Any], series: str) -> None:
    number = f"  {row['files']} files" if row["files"] > 1 else ""
    say(f"{row['name']}  {row['format'] or '-'}{series}{number}  {row['status']}: {row['reason']}")


def _show_reasons(left_out: Sequence[dict[str, Any]]) -> None:
    files: Counter[tuple[str, str]] = Counter()
    for row in left_out:
        files[row["status"], row["reason"]] += row["files"]
    for (status, reason), number in files.most_common():
        say(f"{number} file{'s' if number > 1 else ''}  {status}: {reason}")


def _show_case(row: dict[str, Any], series: str) -> None:
    size = " × ".join(map(str, row["shape"] or ()))
    spacing = " × ".join(f"{step:g}" for step in row["spacing"] or ()) or "unknown"
    say(
        f"{row['name']}  {row['format']} {row['modality'] or ''}{series}  {size}  spacing {spacing} mm  "
        f"orientation {row['orientation'] or 'unknown'}  {row['files']} file(s)  {row['transfer_syntax'] or ''}"
    )
    if row["mask"] is not None:
        say(f"  mask: {row['mask']}")
    for warning in row["warnings"]:
        say(f"  warning: {warning}")


def _counts(cases: Sequence[dict[str, Any]], left_out: Sequence[dict[str, Any]]) -> dict[str, int]:
    failed = sum(row["status"] == "failed" for row in left_out)
    return {"cases": len(cases), "skipped": len(left_out) - failed, "failed": failed}
