"""The shape of a stack of parallel slices: order, spacing, gaps, tilt (PS3.3 C.7.6.2.1.1).

Positions are measured along the normal of the slices, the cross product of row and column direction. Instance number,
slice location and file name tell nothing reliable about order and are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAME_PLACE = 0.01
_SAME_PLACE_PIXELS = 0.1
UNEVEN = 0.02
"""Share of the median step by which the steps of a regular stack may differ."""

SHEARED = 0.25
"""Pixels by which a straight stack may lean from first to last slice, and by which one slice may be off the line."""


@dataclass(frozen=True)
class StackShape:
    """``spacing``: mm between slices along the normal if the stack is a straight, regular box, else None.

    ``normal_step``: the same also for a sheared (tilted) stack. ``warnings``: what keeps it from being such a box.
    """

    spacing: float | None
    normal_step: float | None
    warnings: tuple[str, ...]


def same_place(pixel: Sequence[float] | None) -> float:
    """mm along the normal below which two slices lie at one position; ``pixel``: mm of rows and columns.

    The slices of a microscope or of an eye's tomogram may be a few thousandths of a millimetre apart.
    """
    return _SAME_PLACE if pixel is None else min(_SAME_PLACE, _SAME_PLACE_PIXELS * min(pixel))


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    """Unit normal of six direction cosines (row direction, column direction)."""
    cosines = np.asarray(orientation, dtype=np.float64)
    normal = np.cross(cosines[:3], cosines[3:])
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def along_normal(positions: Sequence[Sequence[float]], orientation: Sequence[float]) -> NDArray[np.float64]:
    """mm along the normal of each position."""
    return np.asarray(np.asarray(positions, dtype=np.float64) @ normal_of(orientation), dtype=np.float64)


def shape_of(
    positions: Sequence[Sequence[float]], orientation: Sequence[float], pixel: tuple[float, float] | None
) -> StackShape:
    """What the positions of at least one slice, sorted along the normal, add up to; ``pixel``: mm of rows, columns."""
    if len(positions) < 2:
        return StackShape(None, None, ())
    heights = along_normal(positions, orientation)
    steps = np.diff(heights)
    warnings: list[str] = []
    even = float(steps.max() - steps.min()) <= max(UNEVEN * float(np.median(steps)), same_place(pixel))
    if not even:
        warnings.append(_uneven(steps))
    step = float((heights[-1] - heights[0]) / len(steps)) if even else None
    leaning = _leaning(np.asarray(positions, dtype=np.float64), heights, orientation, min(pixel or (1.0, 1.0)))
    if leaning is not None:
        warnings.append(leaning)
    return StackShape(step if leaning is None else None, step, tuple(warnings))


def _uneven(steps: NDArray[np.float64]) -> str:
    smallest = float(steps.min())
    multiples = np.rint(steps / smallest)
    text = f"non-uniform spacing: slices are {smallest:.3g} to {float(steps.max()):.3g} mm apart"
    if np.all(np.abs(steps / smallest - multiples) <= 0.05):
        missing = int(multiples.sum()) - len(steps)
        return f"{text}; {missing} slice(s) seem to be missing"
    return text


def _leaning(
    positions: NDArray[np.float64], heights: NDArray[np.float64], orientation: Sequence[float], pixel: float
) -> str | None:
    """How the slices are shifted in their own plane against each other, None if hardly."""
    cosines = np.asarray(orientation, dtype=np.float64).reshape(2, 3)
    lateral: NDArray[Any] = (positions - positions[0]) @ cosines.T  # [slice, 2], mm
    height = heights - heights[0]
    line = np.outer(height / height[-1], lateral[-1])
    if float(np.abs(lateral - line).max()) > SHEARED * pixel:
        return "slices are shifted against each other in their own plane"
    lean = float(np.linalg.norm(lateral[-1]))
    if lean <= SHEARED * pixel:
        return None
    angle = float(np.degrees(np.arctan2(lean, height[-1])))
    return f"the stack is sheared by {angle:.1f} degrees (gantry tilt): it is no straight box"
