"""What the name of a mask says: ``a_mask``, ``a_seg`` belong to the image ``a``; ``a_mask_2`` is its mask number 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.image import LabelMap
from segcli.training.options import Numbered

_NAME = re.compile(
    r"(?P<image>.+)_(?:masks?|seg|segmentation|labels?)(?:_(?P<number>\d{1,3}))?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class MaskName:
    """``image``: key of the image it belongs to. ``number``: None where it has none."""

    image: str
    number: int | None


def mask_name(key: str) -> MaskName | None:
    """Of the key of a file (see ``key_of``); None if the file is not named as a mask."""
    path = PurePosixPath(key)
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    number = None if match["number"] is None else int(match["number"])
    return MaskName(str(path.with_name(match["image"])), number)


def united(name: str, masks: Sequence[tuple[int | None, Sequence[LabelMap]]], mean: Numbered) -> tuple[LabelMap, ...]:
    """The masks of one image as one. ``mean``: what their numbers are, labels or instances of one and the same.

    Raises UsageError where they do not lie on each other, or two claim a pixel for different labels.
    """
    first = masks[0][1]
    for _, parts in masks:
        if [part.pixels.shape for part in parts] != [part.pixels.shape for part in first]:
            raise UsageError(f"{name}: its masks do not have the same size")
    found = []
    for index, part in enumerate(first):
        whole = np.zeros(part.pixels.shape, np.uint16)
        for number, parts in masks:
            _add(whole, parts[index].pixels, name, number if mean == "labels" else None)
        found.append(LabelMap(whole, part.geometry, part.extra))
    return tuple(found)


def _add(whole: NDArray[Any], mask: NDArray[Any], name: str, label: int | None) -> None:
    drawn = mask > 0
    if label is not None and len(np.unique(mask[drawn])) > 1:
        raise UsageError(f"{name}: its mask number {label} holds several labels, so its number cannot be one")
    values = mask[drawn] if label is None else np.full(int(drawn.sum()), label, np.uint16)
    before = whole[drawn]
    if np.any((before > 0) & (before != values)):
        raise UsageError(f"{name}: two of its masks claim a pixel for different labels, and a pixel has one")
    whole[drawn] = values
