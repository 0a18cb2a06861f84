"""Telling apart images that lie at the same place: time points, echoes, b-values (PS3.3 C.7.6.16.2.2, C.8.3.1).

A stack has one image a position. Where there are more, the header value that splits them into as many full stacks as
there are images at a position is used; else the images of each position are counted off in order of time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from segcli.formats.dicom.planes import TIME_KEYWORDS
from segcli.formats.dicom.records import TimeValue

_COUNTED = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "InstanceNumber")


def split_by_time(
    heights: Sequence[float], times: Sequence[Mapping[str, TimeValue]], same_place: float
) -> list[tuple[str, list[int]]] | None:
    """Indices of the frames of each time point with the value that names it; ``[("", all)]`` if there is only one.

    ``heights``: mm along the normal of each frame; ``times``: those of its plane; ``same_place``: mm within which
    heights are one position. None: several images lie at one position and nothing says which belong together.
    """
    places = _places(heights, same_place)
    most = max(np.bincount(places))
    if most == 1:
        return [("", list(range(len(heights))))]
    for keyword in TIME_KEYWORDS:
        groups = _by_value([item.get(keyword) for item in times])
        if len(groups) == most and all(_no_place_twice(indices, places) for indices in groups.values()):
            return [(f"{keyword}={value}", indices) for value, indices in sorted(groups.items())]
    for keyword in _COUNTED:
        counted = _counted_off(places, [item.get(keyword) for item in times])
        if counted is not None:
            return [(f"{keyword}={min(_text(times[i][keyword]) for i in group)}", group) for group in counted]
    return None


def _places(heights: Sequence[float], same_place: float) -> list[int]:
    """For each height the number of its position, counted upwards."""
    order = np.argsort(np.asarray(heights), kind="stable")
    result = [0] * len(heights)
    place, last = -1, -np.inf
    for index in order:
        if heights[index] - last > same_place:
            place, last = place + 1, heights[index]
        result[index] = place
    return result


def _by_value(stated: Sequence[TimeValue | None]) -> dict[str, list[int]]:
    """Indices by value; empty if any is missing."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, value in enumerate(stated):
        if value is None:
            return {}
        groups[_text(value)].append(index)
    return groups


def _text(value: TimeValue) -> str:
    """Text that sorts as the value does, so that two time points never come under one name."""
    return f"{value:020.6f}" if isinstance(value, (int, float)) else str(value)


def _no_place_twice(indices: Sequence[int], places: Sequence[int]) -> bool:
    return len({places[index] for index in indices}) == len(indices)


def _counted_off(places: Sequence[int], stated: Sequence[TimeValue | None]) -> list[list[int]] | None:
    """The n-th image of every position, in order of ``stated``; None unless all positions hold equally many."""
    known = [value for value in stated if value is not None]
    if len(known) < len(stated) or len({isinstance(value, str) for value in known}) != 1:
        return None
    by_place: dict[int, list[int]] = defaultdict(list)
    for index, place in enumerate(places):
        by_place[place].append(index)
    if len({len(group) for group in by_place.values()}) != 1:
        return None
    for group in by_place.values():
        if len({known[index] for index in group}) != len(group):
            return None
        group.sort(key=lambda index: known[index])
    return [list(column) for column in zip(*by_place.values(), strict=True)]
