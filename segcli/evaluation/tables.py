"""An evaluation as CSV and JSON. CSV: one line a case and label, nothing averaged, nothing dropped."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from segcli.evaluation.evaluate import Evaluation
from segcli.evaluation.scores import CaseScore
from segcli.formats.atomic import write_bytes_atomically
from segcli.plain_text import cell

COLUMNS = (
    "case", "label", "dice", "iou", "hd95", "nsd", "predicted_pixels", "reference_pixels", "predicted_mm3",
    "reference_mm3", "slices", "empty_slices", "empty_slices_with_false_positive", "empty_image", "id",
)  # fmt: skip


def write_tables(folder: Path, evaluation: Evaluation) -> None:
    """``cases.csv``, ``cases_without_gate.csv`` where there are such, and ``evaluation.json``. Raises WriteError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(folder / "cases.csv", cases_csv(evaluation.cases).encode())
    if evaluation.ungated is not None:
        write_bytes_atomically(folder / "cases_without_gate.csv", cases_csv(evaluation.ungated).encode())
    content = {**evaluation.summary(), "failed_cases": dict(evaluation.failed)}
    write_bytes_atomically(folder / "evaluation.json", (json.dumps(content, indent=1) + "\n").encode())


def cases_csv(cases: tuple[CaseScore, ...]) -> str:
    """CSV text; an undefined value is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        empty = case.slice_reference == 0
        slices = [len(empty), int(empty.sum()), int((case.slice_predicted[empty] > 0).sum()), int(not case.reference)]
        for label, score in case.labels.items():
            measures = [score.dice, score.iou, score.hd95, score.nsd]
            volumes = [score.volume(score.predicted), score.volume(score.reference)]
            writer.writerow(
                [
                    cell(case.name),
                    cell(label),
                    *map(_cell, measures),
                    score.predicted,
                    score.reference,
                    *map(_cell, volumes),
                    *slices,
                    case.id,
                ]
            )
    return stream.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
