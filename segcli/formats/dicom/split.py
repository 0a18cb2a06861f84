"""One series → stacks that may be segmented as one: equal size, orientation, frame of reference, type and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcli.formats.dicom.stack import along_normal
from segcli.formats.dicom.timepoints import split_by_time
from segcli.image import Json

SAME_DIRECTION = 1e-4
"""By how much direction cosines of one stack may differ."""


@dataclass(frozen=True)
class Frame:
    """One image plane: frame ``number`` (from 1) of the file at ``path``; 0 if it is the file's only frame."""

    path: Path
    record: Json
    number: int
    plane: Json


@dataclass(frozen=True)
class Stack:
    """Frames to be segmented together, in order along the normal, and the values that set them apart in their series.

    ``problem``: why they cannot be put in order. ``time_points``: how many stacks share these positions.
    """

    frames: tuple[Frame, ...]
    split_values: tuple[str, ...]
    problem: str | None = None
    time_points: int = 1


def frames_of(path: Path, record: Json) -> list[Frame]:
    """All frames of one file."""
    if record["frames"] == 1:
        return [Frame(path, record, 0, record["planes"][0])]
    planes = record["planes"] * record["frames"] if record.get("cine") else record["planes"]
    return [Frame(path, record, index + 1, plane) for index, plane in enumerate(planes)]


def stacks_of(frames: Sequence[Frame]) -> list[Stack]:
    """The stacks of one series, in an order that depends on header values alone.

    Frames without position are no stack: those of one file stay together as a film, still images stay single, and the
    SOP instance UID stands among the split values, for nothing else sets them apart.
    """
    groups: dict[tuple[str, ...], list[Frame]] = {}
    for frame in frames:
        groups.setdefault(_split_key(frame), []).append(frame)
    result: list[Stack] = []
    for key, members in sorted(groups.items()):
        if "p" not in members[0].plane or "o" not in members[0].plane:
            result += _without_position(key, members)
            continue
        for orientation, parallel in _parallel(members):
            result += _in_time((*key[:2], orientation, *key[3:]), parallel)
    return result


def _split_key(frame: Frame) -> tuple[str, ...]:
    record, plane = frame.record, frame.plane
    placed = "placed" if "p" in plane and "o" in plane else ""
    kind = plane.get("y") or record["type"]
    return str(record["rows"]), str(record["columns"]), placed, record["for"] or "", kind


def _without_position(key: tuple[str, ...], frames: Sequence[Frame]) -> list[Stack]:
    by_instance: dict[str, list[Frame]] = {}
    for frame in frames:
        by_instance.setdefault(frame.record["sop"], []).append(frame)
    return [Stack(tuple(members), (*key, uid)) for uid, members in sorted(by_instance.items())]


def _parallel(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]]:
    """Frames by orientation; each orientation as text of its cosines to five decimals."""
    groups: list[tuple[NDArray[np.float64], list[Frame]]] = []
    for frame in sorted(frames, key=lambda frame: frame.plane["o"]):
        cosines = np.asarray(frame.plane["o"])
        for representative, members in groups:
            if np.abs(cosines - representative).max() <= SAME_DIRECTION:
                members.append(frame)
                break
        else:
            groups.append((cosines, [frame]))
    return [("\\".join(f"{value + 0.0:.5f}" for value in cosines.round(5)), members) for cosines, members in groups]


def _in_time(key: tuple[str, ...], frames: Sequence[Frame]) -> list[Stack]:
    heights = along_normal([frame.plane["p"] for frame in frames], frames[0].plane["o"])
    points = split_by_time(heights.tolist(), [frame.plane.get("k", {}) for frame in frames])
    if points is None:
        problem = "several images lie at one position and nothing in their headers says which belong together"
        return [Stack(tuple(frames), (*key, ""), problem)]
    return [
        Stack(
            tuple(frames[index] for index in sorted(indices, key=lambda index: float(heights[index]))),
            (*key, value),
            time_points=len(points),
        )
        for value, indices in points
    ]
