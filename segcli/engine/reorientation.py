"""Lossless changes of orientation: which axis of the source becomes which axis of the network, and which way round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.contract import ModelCard
from segcli.errors import UnsupportedError
from segcli.geometry import Geometry
from segcli.image import Image
from segcli.orientation import axis_order

MAX_RESLICED_STEP = 2.0
"""How many times the card's in-plane spacing the slice step may be for slicing along another axis."""


@dataclass(frozen=True)
class Reorientation:
    """A lossless change of orientation of (slice, row, column) axes; ``order[i]`` is the source axis of target i."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[int, ...] = ()

    def apply(self, volume: NDArray[Any]) -> NDArray[Any]:
        """``[slice, row, column]`` as stored → as the card wants it (a view)."""
        return np.flip(volume.transpose(self.order), self.flips)

    def undo(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Inverse of :meth:`apply`."""
        return np.flip(volume, self.flips).transpose(np.argsort(self.order))

    def apply_to(self, part: Image) -> Image:
        """The part as the card wants it (views); its geometry stays that of the source."""
        if self == Reorientation():
            return part
        channels = part.pixels.swapaxes(0, 1)  # [channel, slice, row, column]
        turned = np.flip(
            channels.transpose(0, *(axis + 1 for axis in self.order)), tuple(axis + 1 for axis in self.flips)
        )
        valid = None if part.valid is None else self.apply(part.valid)
        return Image(turned.swapaxes(0, 1), part.geometry, valid, part.extra)


def reorientation_for(geometry: Geometry, card: ModelCard, warnings: list[str]) -> Reorientation:
    """From the orientation of the source to the card's; adds a warning where the source states none."""
    if card.orientation is not None and geometry.orientation is None:
        warnings.append(f"the image states no orientation: taken as it is, the model expects {card.orientation}")
    return reorientation_between(geometry.orientation, card)


def reorientation_between(have: str | None, card: ModelCard) -> Reorientation:
    """From the orientation ``have`` to the card's; none at all where either is unknown."""
    if have is None or card.orientation is None:
        return Reorientation()
    source, target = have[::-1], card.orientation[::-1]  # letters are column, row, slice; axes slice, row, column
    order = axis_order(have, card.orientation)
    flips = tuple(
        axis
        for axis, letter in enumerate(target)
        if source[order[axis]] != letter and not (axis == 0 and card.spatial_dims == 2)
    )
    return Reorientation(order, flips)


def steps_of(geometry: Geometry, stated: tuple[float, ...] | None) -> tuple[float | None, ...]:
    """mm between slices, rows, columns; what the source states comes before what the user states."""
    if geometry.spacing is not None:
        return (geometry.slice_spacing, *geometry.spacing)
    if stated is not None:
        return (stated[2] if len(stated) == 3 else None, stated[0], stated[1])
    return (None, None, None)


def refuse_coarse_reslicing(steps: tuple[float | None, ...], reorientation: Reorientation, card: ModelCard) -> None:
    """Raise UnsupportedError if slices are too far apart to be cut across.

    ``steps``: mm along slice, row and column of the source. What counts is the step between its slices, against the
    card's spacing along the axis that they become.
    """
    if card.spacing is None or any(step is None for step in steps):
        raise UnsupportedError(
            "the slices lie across the model's orientation and are not a regular stack of known spacing"
        )
    step, becomes = steps[0], reorientation.order.index(0)
    wanted = card.spacing[becomes - 3]
    if step is not None and step > MAX_RESLICED_STEP * wanted:
        raise UnsupportedError(
            f"the slices lie across the model's orientation and are {step:g} mm apart, too coarse to be sliced anew"
        )
