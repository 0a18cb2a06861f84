"""Identifiers that contradict each other: what they name is not ours to guess, so the series fail.

A SEG that refers to an instance of two series, or carries one of two patients, would be plausible and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from segcli.formats.dicom.records import Instance

InstanceFile: TypeAlias = tuple[Path, Instance]

TWICE = "two of its files claim to be the same instance but differ: remove the wrong one"
_INSTANCE = "an instance of it is found in another series too: remove the wrong one"
_STUDY = "its series UID is found in two studies: sort the files or correct the UIDs first"
_PATIENT = "its files name different patients: sort them first"


@dataclass(frozen=True)
class Conflicts:
    """UIDs of instances that several series claim, and of series that several studies claim."""

    instances: frozenset[str]
    series: frozenset[str]

    def of(self, instances: Sequence[Instance]) -> str | None:
        """Why the instances of one series cannot be trusted; None if they can."""
        if any(instance.instance_uid in self.instances for instance in instances):
            return _INSTANCE
        if any(instance.series_uid in self.series for instance in instances):
            return _STUDY
        return _PATIENT if len({instance.patient for instance in instances}) > 1 else None


def conflicts_of(files: Sequence[InstanceFile]) -> Conflicts:
    """Among everything that was found."""
    series: dict[str, set[tuple[str, str]]] = {}
    studies: dict[str, set[str]] = {}
    for _, instance in files:
        series.setdefault(instance.instance_uid, set()).add((instance.study_uid, instance.series_uid))
        studies.setdefault(instance.series_uid, set()).add(instance.study_uid)
    return Conflicts(
        frozenset(uid for uid, found in series.items() if len(found) > 1),
        frozenset(uid for uid, found in studies.items() if len(found) > 1),
    )
