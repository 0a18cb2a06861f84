"""How a run went, step by step: ``curves.csv`` in the model folder, which a resumed run goes on with."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import UsageError
from segcli.formats.atomic import write_bytes_atomically
from segcli.regular_file import read_regular

NAME = "curves.csv"
FIXED = ("step", "loss", "dice", "specificity", "sensitivity")


@dataclass(frozen=True)
class Row:
    """One line. ``loss``: mean since the line before. ``dice``, ``specificity``, ``sensitivity``: of validation, the
    latter two over slices; None where no validation case tells. ``by_label``: Dice of each label.
    """

    step: int
    loss: float
    dice: float | None
    specificity: float | None
    sensitivity: float | None
    by_label: Mapping[str, float | None]


class History:
    """All rows so far; each new one is on the disk before :meth:`add` returns."""

    def __init__(self, folder: Path, after: int = 0) -> None:
        """Rows of an earlier run up to the step ``after`` are kept."""
        self._path = folder / NAME
        self.rows: list[Row] = [row for row in read_history(self._path) if row.step <= after] if after else []

    def add(self, row: Row) -> None:
        """One more row."""
        self.rows.append(row)
        write_bytes_atomically(self._path, format_history(self.rows).encode())


def format_history(rows: list[Row]) -> str:
    """CSV text; a missing value is an empty cell."""
    labels = list(rows[0].by_label) if rows else []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*FIXED, *(f"dice {label}" for label in labels)])
    for row in rows:
        values = [row.loss, row.dice, row.specificity, row.sensitivity, *(row.by_label[label] for label in labels)]
        writer.writerow([row.step, *("" if value is None else f"{value:.6g}" for value in values)])
    return stream.getvalue()


def read_history(path: Path) -> list[Row]:
    """Inverse of :func:`format_history`; no file, no rows. Raises UsageError for anything else."""
    try:
        text = read_regular(path).decode("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: take it away, or start again without --resume") from error
    try:
        return [_row(line) for line in csv.DictReader(io.StringIO(text, newline=""))]
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise UsageError(f"{path}: not as it was written: take it away, or start again without --resume") from error


def _row(line: Mapping[str, str]) -> Row:
    values = {name: float(text) if text else None for name, text in line.items() if name != "step"}
    labels = {name.removeprefix("dice "): value for name, value in values.items() if name.startswith("dice ")}
    return Row(
        int(line["step"]), values["loss"] or 0.0, values["dice"], values["specificity"], values["sensitivity"], labels
    )
