"""Identifiers that contradict each other: what they name is not ours to guess, so the series fail.

A SEG that refers to an instance of two series, or carries one of two patients, would be plausible and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segcli.image import Json

Record = tuple[Path, Json]

TWICE = "two of its files claim to be the same instance but differ: remove the wrong one"
_INSTANCE = "an instance of it is found in another series too: remove the wrong one"
_STUDY = "its series UID is found in two studies: sort the files or correct the UIDs first"
_PATIENT = "its files name different patients: sort them first"


@dataclass(frozen=True)
class Conflicts:
    """UIDs of instances that several series claim, and of series that several studies claim."""

    instances: frozenset[str]
    series: frozenset[str]

    def of(self, records: Sequence[Json]) -> str | None:
        """Why the records of one series cannot be trusted; None if they can."""
        if any(record["sop"] in self.instances for record in records):
            return _INSTANCE
        if any(record["series"] in self.series for record in records):
            return _STUDY
        return _PATIENT if len({record["patient"] for record in records}) > 1 else None


def conflicts_of(records: Sequence[Record]) -> Conflicts:
    """Among everything that was found."""
    series: dict[str, set[tuple[str, str]]] = {}
    studies: dict[str, set[str]] = {}
    for _, record in records:
        series.setdefault(record["sop"], set()).add((record["study"], record["series"]))
        studies.setdefault(record["series"], set()).add(record["study"])
    return Conflicts(
        frozenset(uid for uid, found in series.items() if len(found) > 1),
        frozenset(uid for uid, found in studies.items() if len(found) > 1),
    )
