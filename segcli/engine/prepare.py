"""Everything decided about one part before its first tile: orientation, spacing, intensity, neighbouring slices.

Arrays are ``[slice, channel, row, column]``; a *unit* is what tiles are cut from, ``[channel, *spatial]`` float32:
one slice for a 2-D card, the whole stack for a 3-D card.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segcli.contract import ModelCard
from segcli.engine.patch_rows import PatchRowReader
from segcli.engine.reorientation import Reorientation, refuse_coarse_reslicing, reorientation_for, steps_of
from segcli.engine.statistics import Normalisation, needs_whole, normalisation
from segcli.errors import UnsupportedError
from segcli.image import BandSource, Image

MAX_CONTEXT_STEP = 1.5
"""How many times the card's slice spacing slices may lie apart and still be context of one another."""
MAX_RESAMPLED = 16
"""How many times larger or smaller than the card's the spacing of an image may be."""


@dataclass(frozen=True)
class Prepared:
    """One part ready for tiling: ``source`` is turned as the card wants it.

    ``stored``: slices, rows, columns of ``source``. ``grid``: the same on the network's grid. ``slice_ratio``: the
    card's slice spacing over the source's, None where either is unknown. ``undo`` of ``reorientation`` leads back.
    """

    source: BandSource
    card: ModelCard
    reorientation: Reorientation
    stored: tuple[int, int, int]
    grid: tuple[int, int, int]
    normalisation: Normalisation
    slice_ratio: float | None
    warnings: tuple[str, ...]

    @property
    def is_reoriented(self) -> bool:
        """Whether the source had to be turned."""
        return self.reorientation != Reorientation()

    @property
    def units(self) -> int:
        """How many units the part has."""
        return 1 if self.card.spatial_dims == 3 else self.stored[0]

    @property
    def unit_grid(self) -> tuple[int, ...]:
        """Spatial size of a unit on the network's grid."""
        return self.grid[3 - self.card.spatial_dims :]

    @property
    def unit_stored(self) -> tuple[int, ...]:
        """Spatial size of a unit as stored."""
        return self.stored[3 - self.card.spatial_dims :]

    def strips(self, index: int, device: torch.device) -> PatchRowReader:
        """The pixels of unit ``index``, some rows at a time, on ``device``."""
        slices = None if self.card.spatial_dims == 3 else self.neighbours(index)
        return PatchRowReader(self.source, slices, self.normalisation, self.unit_stored, self.unit_grid, device)

    def unit(self, index: int) -> Tensor:
        """Unit ``index`` whole: ``[channel, *spatial]`` float32 on the network's grid, on the CPU."""
        return self.strips(index, torch.device("cpu")).rows(0, self.unit_grid[0])

    def neighbours(self, index: int) -> list[int]:
        """The slices a 2-D network sees for slice ``index``, from the lowest to the highest.

        The k-th neighbour is the slice nearest to k times the card's slice spacing away; without known spacings the
        k-th slice. Beyond the stack the last slice is repeated, and the slice itself where the stack is too coarse.
        """
        context = self.card.context_slices
        steps = [k if self.slice_ratio is None else int(k * self.slice_ratio + 0.5) for k in range(context + 1)]
        if self.slice_ratio is not None and self.slice_ratio * MAX_CONTEXT_STEP < 1:
            steps = [0] * (context + 1)
        offsets = [*(-step for step in reversed(steps[1:])), *steps]
        return [min(max(index + offset, 0), self.stored[0] - 1) for offset in offsets]


def prepare(part: BandSource, card: ModelCard, stated: tuple[float, ...] | None, limit: int = 2**62) -> Prepared:
    """Decide how ``part`` reaches the network. ``stated``: --spacing of the user, mm.

    ``limit``: most pixels that may be held in memory, for what cannot be done row by row. Raises UnsupportedError if
    the part cannot be brought to the card's orientation or spacing truthfully, or would have to be held and is larger.
    """
    warnings: list[str] = []
    steps = steps_of(part.geometry, stated)
    reorientation = reorientation_for(part.geometry, card, warnings)
    if reorientation.order[0] != 0:
        refuse_coarse_reslicing(steps, reorientation, card)
    steps = tuple(steps[axis] for axis in reorientation.order)
    if reorientation != Reorientation():
        part = reorientation.apply_to(in_memory(part, limit, "an image that must be turned for the model"))
    elif needs_whole(card.intensity):
        part = in_memory(part, limit, "an image whose percentiles the model wants")
    stored = (part.shape[0], part.shape[2], part.shape[3])
    grid = _grid(stored, steps, card, warnings)
    ratio = None
    if card.context_slices and card.spacing is not None and len(card.spacing) == 3 and steps[0] is not None:
        ratio = card.spacing[0] / steps[0]
    return Prepared(
        part, card, reorientation, stored, grid, normalisation(part, card.intensity), ratio, tuple(warnings)
    )


def in_memory(part: BandSource, limit: int, what: str) -> Image:
    """All of a part. Raises UnsupportedError if it has more pixels than ``limit``, naming ``what`` it is."""
    if isinstance(part, Image):
        return part
    slices, channels, rows, columns = part.shape
    if slices * rows * columns > limit:
        raise UnsupportedError(
            f"{what} is held in memory whole, and its {slices * rows * columns} pixels are more than "
            f"--max-pixels {limit}: raise it if the memory is there"
        )
    pixels = np.empty((slices, channels, rows, columns), part.dtype)
    for index in range(slices):
        pixels[index] = part.read(index, 0, rows)
    return Image(pixels, part.geometry, part.valid, part.extra)


def _grid(
    stored: tuple[int, int, int], steps: tuple[float | None, ...], card: ModelCard, warnings: list[str]
) -> tuple[int, int, int]:
    if card.spacing is None:
        return stored
    wanted = card.spacing if card.spatial_dims == 3 else (None, *card.spacing[-2:])
    grid = []
    for axis, (size, have, want) in enumerate(zip(stored, steps, wanted, strict=True)):
        if want is None or (axis == 0 and size == 1):
            grid.append(size)
        elif have is None:
            if axis == 0 and steps[1] is not None:
                raise UnsupportedError("the slices are not a regular stack, which a 3-D model needs")
            grid.append(size)
        else:
            _refuse_other_scale(have, want)
            grid.append(max(1, round(size * have / want)))
    if steps[1] is None:
        own = card.spacing if card.spatial_dims == 3 else card.spacing[-2:]
        warnings.append(
            f"the image states no spacing: the model's own, {' × '.join(f'{s:g}' for s in own)} mm, "
            "is assumed; give --spacing if you know it"
        )
    return grid[0], grid[1], grid[2]


def _refuse_other_scale(have: float, want: float) -> None:
    if not 1 / MAX_RESAMPLED <= have / want <= MAX_RESAMPLED:
        raise UnsupportedError(
            f"the image's pixels are {have:g} mm apart, the model was trained at {want:g} mm: more than "
            f"{MAX_RESAMPLED} times that is another kind of image, or a wrong unit in the file"
        )
