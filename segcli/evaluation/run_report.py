"""What ``report.json`` beside predictions of segcli says of them; masks of another program have none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segcli.evaluation.align import MOST_SLICES
from segcli.pairing.masks import MaskPair
from segcli.regular_file import read_regular

_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class RunReport:
    """By the path of a mask: slices of its image, and its case id. ``gated``: share of tiles gated."""

    slices: Mapping[Path, int]
    ids: Mapping[Path, str]
    gated: float | None

    def slices_of(self, pair: MaskPair) -> int | None:
        """Number of slices of the image; None if no report names the mask."""
        return None if pair.prediction is None else self.slices.get(pair.prediction.path)

    def id_of(self, pair: MaskPair) -> str | None:
        """The case's id, as predict's log and report have it; None if no report names the mask."""
        return None if pair.prediction is None else self.ids.get(pair.prediction.path)


def run_report(folder: Path) -> RunReport:
    """The ``report*.json`` in ``folder``; what is no such report is passed over."""
    slices: dict[Path, int] = {}
    ids: dict[Path, str] = {}
    tiles = gated = 0
    for path in sorted(folder.glob("report*.json")) if folder.is_dir() else []:
        try:
            for case in json.loads(read_regular(path))["cases"]:
                output, shape, identifier = case.get("output"), case.get("shape"), str(case.get("id"))
                if output and shape and 0 < int(shape[0]) <= MOST_SLICES:
                    slices[folder / str(output)] = int(shape[0])
                if output and _ID.fullmatch(identifier):
                    ids[folder / str(output)] = identifier
                tiles += int(case.get("tiles", 0))
                gated += int(case.get("tiles_gated", 0))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
            continue
    return RunReport(slices, ids, gated / tiles if tiles else None)
