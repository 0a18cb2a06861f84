"""Slices that look as no slice between its neighbours would: what a damaged compressed stream decodes to.

JPEG, JPEG 2000 and RLE carry no checksums, and their decoders return a partly false image without an error. Neighbours
tell: a slice of a stack lies between the one before and the one after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP = 2
_UNLIKE = 2.5
"""How many times farther from both neighbours than these are from each other, and than neighbours usually are."""


def unlike_neighbours(pixels: NDArray[Any]) -> list[int]:
    """Numbers (from 1) of inner slices of ``[slice, channel, row, column]`` that differ oddly from both neighbours.

    The measure is the root mean square difference on every second pixel; stacks of fewer than four slices say nothing.
    """
    if len(pixels) < 4:
        return []
    coarse = pixels[:, :, ::_STEP, ::_STEP].astype(np.float32)
    near = np.array([_difference(coarse[i], coarse[i + 1]) for i in range(len(coarse) - 1)])
    usual = float(np.median(near))
    result = []
    for index in range(1, len(coarse) - 1):
        across = _difference(coarse[index - 1], coarse[index + 1])
        if min(near[index - 1], near[index]) > _UNLIKE * max(across, usual):
            result.append(index + 1)
    return result


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(one - other), dtype=np.float64)))
