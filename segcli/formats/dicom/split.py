"""One series → stacks that may be segmented as one: equal size, orientation, frame of reference, type and time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcli.formats.dicom.records import Instance, Plane
from segcli.formats.dicom.stack import along_normal, same_place
from segcli.formats.dicom.timepoints import split_by_time

SAME_DIRECTION = 1e-4
"""By how much direction cosines of one stack may differ."""

_CELL = 4 * SAME_DIRECTION


@dataclass(frozen=True, slots=True)
class Frame:
    """One image plane: frame ``number`` (from 1) of the file at ``path``; 0 if it is the file's only frame."""

    path: Path
    instance: Instance
    number: int
    plane: Plane


@dataclass(frozen=True)
class Stack:
    """Frames to be segmented together, in order along the normal.

    ``part``: what sets them apart from other stacks of their series (rows, columns, orientation, frame of reference,
    type, and more where that is not enough); ``time``: what sets them apart from others at the same positions.
    ``problem``: why they cannot be segmented. ``time_points``: how many stacks share these positions.
    """

    frames: tuple[Frame, ...]
    part: tuple[str, ...]
    time: str = ""
    problem: str | None = None
    time_points: int = 1

    @property
    def orientation(self) -> str:
        """Direction cosines as text; empty for images without a place."""
        return self.part[2]


def frames_of(path: Path, instance: Instance) -> list[Frame]:
    """All frames of one file."""
    if instance.frames == 1:
        return [Frame(path, instance, 0, instance.planes[0])]
    planes = instance.planes * instance.frames if instance.is_cine else instance.planes
    return [Frame(path, instance, index + 1, plane) for index, plane in enumerate(planes)]


def stacks_of(frames: Sequence[Frame]) -> list[Stack]:
    """The stacks of one series, in an order that depends on header values alone.

    Frames without position are no stack: those of one file stay together as a film, still images stay single, and the
    SOP instance UID stands as their time, for nothing else sets them apart.
    """
    groups: dict[tuple[str, ...], list[Frame]] = {}
    for frame in frames:
        groups.setdefault(_split_key(frame), []).append(frame)
    result: list[Stack] = []
    for key, members in sorted(groups.items()):
        for more, alike in _of_one_kind(members):
            if alike[0].plane.place is None:
                result += _without_position((*key[:2], "", *key[3:], *more), alike)
                continue
            for orientation, parallel in _parallel(alike):
                for size, equal in _of_one_spacing(parallel):
                    result += _in_time((*key[:2], orientation, *key[3:], *more, *size), equal)
    return result


def _split_key(frame: Frame) -> tuple[str, ...]:
    instance, plane = frame.instance, frame.plane
    kind = plane.frame_type or instance.image_type
    placed = "" if plane.place is None else "placed"
    return str(instance.rows), str(instance.columns), placed, instance.frame_of_reference_uid or "", kind


def _of_one_kind(frames: Sequence[Frame]) -> list[tuple[tuple[str, ...], list[Frame]]]:
    """Frames by modality, SOP class and whether they are in colour: a screen shot among slices is no slice.

    Where all are alike, as in every proper series, nothing is added to what sets a stack apart.
    """
    groups: dict[tuple[str, ...], list[Frame]] = {}
    for frame in frames:
        instance = frame.instance
        kind = instance.modality or "", instance.sop_class_uid, "colour" if instance.is_colour else "grey"
        groups.setdefault(kind, []).append(frame)
    return [((), list(frames))] if len(groups) == 1 else sorted(groups.items())


def _of_one_spacing(frames: Sequence[Frame]) -> list[tuple[tuple[str, ...], list[Frame]]]:
    """Frames by pixel spacing, equal within one in a thousand: slices of another zoom are another stack."""
    groups: list[tuple[tuple[float, float] | None, list[Frame]]] = []
    for frame in sorted(frames, key=lambda frame: frame.plane.pixel_spacing or ()):
        spacing = frame.plane.pixel_spacing
        if groups and _same_spacing(groups[-1][0], spacing):
            groups[-1][1].append(frame)
        else:
            groups.append((spacing, [frame]))
    if len(groups) == 1:
        return [((), list(frames))]
    return [(("\\".join(f"{side:g}" for side in spacing or ()),), members) for spacing, members in groups]


def _same_spacing(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(one, other, strict=True))


def _without_position(part: tuple[str, ...], frames: Sequence[Frame]) -> list[Stack]:
    by_instance: dict[str, list[Frame]] = {}
    for frame in frames:
        by_instance.setdefault(frame.instance.instance_uid, []).append(frame)
    return [Stack(tuple(members), part, uid) for uid, members in sorted(by_instance.items())]


def _parallel(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]]:
    """Frames by orientation; each orientation as text of its cosines to five decimals."""
    groups: list[tuple[NDArray[np.float64], list[Frame]]] = []
    cells: dict[tuple[float, ...], list[int]] = {}  # numbers of groups, so that each frame meets its neighbours only
    for frame in sorted(frames, key=lambda frame: frame.plane.orientation or ()):
        cosines = np.asarray(frame.plane.orientation)
        near = sorted(number for cell in _cells(cosines, SAME_DIRECTION) for number in cells.get(cell, ()))
        for number in near:
            if np.abs(cosines - groups[number][0]).max() <= SAME_DIRECTION:
                groups[number][1].append(frame)
                break
        else:
            (own,) = _cells(cosines, 0)
            cells.setdefault(own, []).append(len(groups))
            groups.append((cosines, [frame]))
    return [("\\".join(f"{value + 0.0:.5f}" for value in cosines.round(5)), members) for cosines, members in groups]


def _cells(cosines: NDArray[np.float64], reach: float) -> list[tuple[float, ...]]:
    """The cells of a grid within ``reach`` of a point; 0 and 1, the usual cosines, lie in the middle of theirs."""
    low, high = (np.floor((cosines + side) / _CELL + 0.5).tolist() for side in (-reach, reach))
    return list(itertools.product(*({one, other} for one, other in zip(low, high, strict=True))))


def _rescaling(frame: Frame) -> tuple[bool, ...]:
    """Which of slope, intercept and table a frame states."""
    plane = frame.plane
    return plane.rescale_slope is not None, plane.rescale_intercept is not None, frame.instance.has_modality_lut


def _in_time(part: tuple[str, ...], frames: Sequence[Frame]) -> list[Stack]:
    if len({_rescaling(frame) for frame in frames}) > 1:
        problem = "some of its images state how stored values are rescaled and others do not: they do not compare"
        return [Stack(tuple(frames), part, "", problem)]
    places = [place for frame in frames if (place := frame.plane.place) is not None]
    heights = along_normal([position for position, _ in places], places[0][1])
    near = same_place(frames[0].plane.pixel_spacing)
    points = split_by_time(heights.tolist(), [frame.plane.times for frame in frames], near)
    if points is None:
        problem = "several images lie at one position and nothing in their headers says which belong together"
        return [Stack(tuple(frames), part, "", problem)]
    return [
        Stack(
            tuple(frames[index] for index in sorted(indices, key=lambda index: float(heights[index]))),
            part,
            value,
            time_points=len(points),
        )
        for value, indices in points
    ]
