"""The numbered masks of one image as one mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.image import LabelMap
from segcli.pairing.names import Numbered


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
