"""Prediction and reference on the same slices: equal grids are checked, DICOM SEGs are laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError
from segcli.formats.dicom.records import FrameSource
from segcli.geometry import Geometry, difference
from segcli.image import LabelMap
from segcli.pairing.sources import has_sources, laid_out, sources_of

SMALLEST_STEP = 1e-3
"""mm; closer positions are the same one."""
MOST_SLICES = 20_000
"""Of a stack that is laid out by positions or by what a report says: more are a mistake in one of them."""
LARGEST_OFF = 0.1
"""Share of a step by which a regular slice may be off its place."""


@dataclass(frozen=True)
class Aligned:
    """Label numbers ``[slice, row, column]`` of both; ``spacing`` mm between slices, rows, columns, None if unknown."""

    predicted: NDArray[Any]
    reference: NDArray[Any]
    spacing: tuple[float, float, float] | None
    notes: tuple[str, ...] = ()

    @property
    def voxel(self) -> float | None:
        """mm³ of a voxel."""
        return None if self.spacing is None else float(np.prod(self.spacing))


def align(
    predicted: Sequence[LabelMap], reference: Sequence[LabelMap], slices: int | None = None
) -> list[Aligned]:  # fmt: skip
    """Each part of a case. ``slices``: how many the image has, for SEGs, which leave out slices without a label.

    Raises UnsupportedError where they cannot be compared pixel by pixel.
    """
    if len(predicted) != len(reference):
        raise UnsupportedError(f"the prediction has {len(predicted)} parts, the reference has {len(reference)}")
    return [_aligned(one, other, slices) for one, other in zip(predicted, reference, strict=True)]


def _aligned(predicted: LabelMap, reference: LabelMap, slices: int | None) -> Aligned:
    if has_sources(predicted) and has_sources(reference):
        return _over_each_other(predicted, reference, slices)
    if predicted.pixels.shape != reference.pixels.shape:
        raise UnsupportedError(
            f"the prediction has {_size(predicted.pixels.shape)} pixels, the reference {_size(reference.pixels.shape)} "
            "(slices × rows × columns): resample one onto the other"
        )
    one, other = predicted.geometry, reference.geometry
    differing = difference(one, other)
    if differing is not None:
        raise UnsupportedError(f"prediction and reference differ in {differing}: resample one onto the other")
    geometry = other if other.spacing is not None else one
    return Aligned(predicted.pixels, reference.pixels, _spacing(geometry, predicted.pixels.shape[0]))


def _over_each_other(predicted: LabelMap, reference: LabelMap, slices: int | None) -> Aligned:
    if predicted.pixels.shape[1:] != reference.pixels.shape[1:]:
        raise UnsupportedError("prediction and reference have different numbers of rows or columns")
    order, gap = _order(predicted, reference)
    count = max(slices or 0, max(order.values(), default=-1) + 1)
    notes = () if slices is not None else ("slices in neither SEG are not known, so they are not counted as empty",)
    geometry = predicted.geometry if predicted.geometry.spacing is not None else reference.geometry
    known = geometry.spacing is not None and (gap is not None or count == 1)
    rows, columns = geometry.spacing or (0.0, 0.0)
    spacing = (gap or 1.0, rows, columns) if known else None
    return Aligned(laid_out(predicted, order, count), laid_out(reference, order, count), spacing, notes)


def _order(*masks: LabelMap) -> tuple[dict[FrameSource, int], float | None]:
    """Place of every source slice of either, along the normal where positions are known, and mm between places.

    A gap of a whole number of steps is slices that neither SEG has a frame of; they keep their places.
    """
    heights: dict[FrameSource, float] = {}
    for mask in masks:
        sources = sources_of(mask)
        places = _heights(mask) or [float(index) for index in range(len(sources))]
        heights.update(zip(sources, places, strict=True))
    ordered = sorted(heights, key=lambda key: (heights[key], key))
    values = np.array([heights[source] for source in ordered])
    steps = np.diff(values)
    indices = list(range(len(ordered)))
    gap = float(steps.min()) if len(steps) and steps.min() > SMALLEST_STEP else None
    if gap is not None:
        exact = (values - values[0]) / gap
        if np.abs(exact - exact.round()).max() < LARGEST_OFF and exact.max() < MOST_SLICES:
            indices = [int(place) for place in exact.round()]
    known = all(_heights(mask) for mask in masks if len(mask.pixels))
    return dict(zip(ordered, indices, strict=True)), gap if known else None


def _heights(mask: LabelMap) -> list[float]:
    geometry = mask.geometry
    if geometry.positions is None or geometry.axes is None or any(p is None for p in geometry.positions):
        return []
    return [float(np.dot(position, geometry.axes[2])) for position in geometry.positions]


def _spacing(geometry: Geometry, slices: int) -> tuple[float, float, float] | None:
    if geometry.spacing is None or (geometry.slice_spacing is None and slices > 1):
        return None
    return (geometry.slice_spacing or 1.0, *geometry.spacing)


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
