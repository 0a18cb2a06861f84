"""From a part as stored to what the network sees, and the way back: orientation, intensity, spacing, padding.

Arrays are ``[slice, channel, row, column]``; a *unit* is what tiles are cut from, ``[channel, *spatial]`` float32:
one slice for a 2-D card, the whole stack for a 3-D card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from segcli.contract import Intensity, ModelCard
from segcli.errors import UnsupportedError
from segcli.image import Geometry, Image

PAIRS = ({"L", "R"}, {"P", "A"}, {"S", "I"})
MOST_RESLICED_STEP = 2.0
"""How many times the card's in-plane spacing the slice step may be for slicing along another axis."""


@dataclass(frozen=True)
class Turn:
    """A lossless change of orientation of (slice, row, column) axes; ``order[i]`` is the source axis of target i."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[int, ...] = ()

    def apply(self, volume: NDArray[Any]) -> NDArray[Any]:
        """``[slice, row, column]`` as stored → as the card wants it (a view)."""
        return np.flip(volume.transpose(self.order), self.flips)

    def undo(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Inverse of :meth:`apply`."""
        return np.flip(volume, self.flips).transpose(np.argsort(self.order))


@dataclass(frozen=True)
class Prepared:
    """One part ready for tiling. ``grid`` is the spatial size the network works on, ``stored`` the one before."""

    pixels: NDArray[Any]
    turn: Turn
    stored: tuple[int, int, int]
    grid: tuple[int, int, int]
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: bool
    warnings: tuple[str, ...]

    def unit(self, index: int, card: ModelCard) -> Tensor:
        """Unit ``index`` ``[channel, *spatial]`` on the network's grid, neighbouring slices as channels if asked."""
        if card.spatial_dims == 3:
            stack = torch.from_numpy(np.ascontiguousarray(self._normalised(slice(None)).transpose(1, 0, 2, 3)))
            return resize(stack, self.grid)
        last = self.pixels.shape[0] - 1
        around = range(index - card.context_slices, index + card.context_slices + 1)
        planes = np.concatenate([self._normalised(min(max(i, 0), last)) for i in around])
        return resize(torch.from_numpy(planes), self.grid[1:])

    def _normalised(self, which: Any) -> NDArray[np.float32]:
        """float32 of the slices ``which``; offset and scale are [slice, channel, 1, 1]."""
        values: NDArray[np.float32] = (self.pixels[which].astype(np.float32) - self.offset[which]) * self.scale[which]
        if self.clip:
            np.clip(values, 0, 1, out=values)
        return values


def prepare(part: Image, card: ModelCard, stated: tuple[float, ...] | None) -> Prepared:
    """Everything decided about one part before its first tile. ``stated``: --spacing of the user, mm.

    Raises UnsupportedError if the part cannot be brought to the card's orientation or spacing truthfully.
    """
    warnings: list[str] = []
    steps = _steps(part.geometry, stated)
    turn = _turn(part.geometry, card, warnings)
    steps = tuple(steps[axis] for axis in turn.order)
    if turn.order[0] != 0:
        _refuse_coarse_reslicing(steps, card)
    channels = [turn.apply(part.pixels[:, c]) for c in range(part.pixels.shape[1])]
    pixels = np.stack(channels, axis=1) if len(channels) > 1 else channels[0][:, np.newaxis]
    valid = None if part.valid is None else turn.apply(part.valid)
    offset, scale, clip = _normalisation(pixels, valid, card.intensity)
    stored = (pixels.shape[0], pixels.shape[2], pixels.shape[3])
    grid = _grid(stored, steps, card, warnings)
    return Prepared(pixels, turn, stored, grid, offset, scale, clip, tuple(warnings))


def resize(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """``[channel, *spatial]`` float → the same extent in ``size`` pixels: linear, averaged where it shrinks."""
    if tuple(values.shape[1:]) == tuple(size):
        return values
    if len(size) == 2:
        smaller = any(new < old for new, old in zip(size, values.shape[1:], strict=True))
        return functional.interpolate(
            values[None], size=list(size), mode="bilinear", align_corners=False, antialias=smaller
        )[0]
    return functional.interpolate(values[None], size=list(size), mode="trilinear", align_corners=False)[0]


def _steps(geometry: Geometry, stated: tuple[float, ...] | None) -> tuple[float | None, ...]:
    """mm between slices, rows, columns; what the source states comes before what the user states."""
    if geometry.spacing is not None:
        return (geometry.slice_spacing, *geometry.spacing)
    if stated is not None:
        return (stated[2] if len(stated) == 3 else None, stated[0], stated[1])
    return (None, None, None)


def _turn(geometry: Geometry, card: ModelCard, warnings: list[str]) -> Turn:
    if card.orientation is None:
        return Turn()
    have = geometry.orientation
    if have is None:
        warnings.append(f"the image states no orientation: taken as it is, the model expects {card.orientation}")
        return Turn()
    source, target = have[::-1], card.orientation[::-1]  # letters are column, row, slice; axes slice, row, column
    order, flips = [], []
    for axis, letter in enumerate(target):
        pair = next(pair for pair in PAIRS if letter in pair)
        found = next(i for i, other in enumerate(source) if other in pair)
        order.append(found)
        if source[found] != letter and not (axis == 0 and card.spatial_dims == 2):
            flips.append(axis)
    return Turn((order[0], order[1], order[2]), tuple(flips))


def _refuse_coarse_reslicing(steps: tuple[float | None, ...], card: ModelCard) -> None:
    finest = None if card.spacing is None else max(card.spacing[-2:])
    if finest is None or any(step is None for step in steps):
        raise UnsupportedError(
            "the slices lie across the model's orientation and are not a regular stack of known spacing"
        )
    coarsest = max(step for step in steps if step is not None)
    if coarsest > MOST_RESLICED_STEP * finest:
        raise UnsupportedError(
            f"the slices lie across the model's orientation and are {coarsest:g} mm apart, too coarse to be sliced anew"
        )


def _grid(
    stored: tuple[int, int, int], steps: tuple[float | None, ...], card: ModelCard, warnings: list[str]
) -> tuple[int, int, int]:
    if card.spacing is None:
        return stored
    wanted = card.spacing if card.spatial_dims == 3 else (None, *card.spacing)
    grid = []
    for axis, (size, have, want) in enumerate(zip(stored, steps, wanted, strict=True)):
        if want is None or (axis == 0 and size == 1):
            grid.append(size)
        elif have is None:
            if axis == 0 and steps[1] is not None:
                raise UnsupportedError("the slices are not a regular stack, which a 3-D model needs")
            grid.append(size)
        else:
            grid.append(max(1, round(size * have / want)))
    if steps[1] is None:
        warnings.append(
            f"the image states no spacing: the model's own, {' × '.join(f'{s:g}' for s in card.spacing)} mm, "
            "is assumed; give --spacing if you know it"
        )
    return grid[0], grid[1], grid[2]


def _normalisation(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, intensity: Intensity
) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
    slices, channels = pixels.shape[:2]
    offset = np.zeros((slices, channels, 1, 1), np.float32)
    scale = np.ones((slices, channels, 1, 1), np.float32)
    if intensity.kind == "none":
        return offset, scale, False
    groups = [slice(i, i + 1) for i in range(slices)] if intensity.scope == "slice" else [slice(None)]
    for group in groups:
        for channel in range(channels):
            values = pixels[group, channel]
            chosen = values.ravel() if valid is None else values[valid[group]]
            start, span = _range(chosen, intensity)
            offset[group, channel] = start
            scale[group, channel] = 1 / span if span > 0 else 1  # a constant image is not an error
    return offset, scale, intensity.kind != "zscore"


def _range(values: NDArray[Any], intensity: Intensity) -> tuple[float, float]:
    if intensity.kind == "zscore" and intensity.mean is not None and intensity.std is not None:
        return intensity.mean, intensity.std
    if values.size == 0:
        return 0.0, 1.0
    if intensity.kind == "zscore":
        return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    low, high = intensity.low or 0.0, intensity.high or 0.0
    if intensity.kind == "percentile":
        low, high = (float(x) for x in np.percentile(values, [low, high]))
    return low, high - low
