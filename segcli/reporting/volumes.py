"""``volumes.csv``: a line for each label of each segmented case, for people who use spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from segcli.plain_text import cell

if TYPE_CHECKING:
    from segcli.image import Json

COLUMNS = ("case", "id", "output", "status", "label", "pixels", "mm3", "presence", "orientation", "warnings")


def volumes_csv(content: Json) -> bytes:
    """UTF-8 with a byte-order mark (spreadsheets want it), commas, one header line.

    ``mm3`` is empty where the source does not say how large a voxel is. An apostrophe stands before whatever
    a spreadsheet would take for a formula.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for case in content["cases"]:
        for label, volume in case["volumes"].items():
            presence = (case["presence"] or {}).get(label)
            row = (
                case["name"],
                case["id"],
                case["output"],
                case["status"],
                label,
                volume["pixels"],
                "" if volume["mm3"] is None else f"{volume['mm3']:.6g}",
                "" if presence is None else f"{presence:.4f}",
                case["orientation"] or "",
                "; ".join(case["warnings"]),
            )
            writer.writerow(map(cell, row))
    return b"\xef\xbb\xbf" + stream.getvalue().encode("utf-8", errors="replace")
