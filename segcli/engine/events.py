"""What the engine tells about the cases it was fed: bands of their masks, how far they are, their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segcli.errors import CaseError
from segcli.image import BandSource, LabelMap

K = TypeVar("K")

NO_MEMORY = "the image needs more memory than there is"


@dataclass(frozen=True)
class Segmented:
    """The result of one case.

    ``masks``: one per volume; empty where they were taken band by band. ``counts``: per volume, label value → pixels.
    ``presence``: label name → the highest score of its tiles; None without a head. ``slice_presence``: the same per
    volume and slice (of a 3-D model: stack). ``slices_emptied``: slices from which the empty filter removed a label
    that had been drawn; ``filter_scores``: what it judged by, as ``slice_presence``; None without a filter.
    ``seconds``: time in the network, shared by tile count. ``empty_reason``: why no label was found (``gate``,
    ``threshold``, or ``post-processing`` where the filter removed the last one), None if one was.
    """

    masks: tuple[LabelMap, ...]
    counts: tuple[Mapping[int, int], ...]
    presence: Mapping[str, float] | None
    slice_presence: tuple[tuple[Mapping[str, float], ...], ...] | None
    tiles: int
    tiles_gated: int
    seconds: float
    warnings: tuple[str, ...]
    empty_reason: str | None
    slices_emptied: int = 0
    filter_scores: tuple[tuple[Mapping[str, float], ...], ...] | None = None


@dataclass(frozen=True, eq=False)
class Band(Generic[K]):
    """Final rows of a slice of a mask: ``labels`` ``[row, column]``, uint8 or uint16, are those from ``row_start`` on.

    The bands of a case come volume by volume, slice by slice, in each slice from the first row to the last, as the
    source lies, and all of them before its :class:`Result`.
    """

    case: K
    volume: int
    slice_index: int
    row_start: int
    labels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Progress(Generic[K]):
    """So many of the tiles of the oldest case in flight are done. Comes after every batch."""

    case: K
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Result(Generic[K]):
    """Nothing more comes of the case."""

    case: K
    result: Segmented | CaseError


Event: TypeAlias = Band[K] | Progress[K] | Result[K]


class CollectedMasks:
    """The masks of a case in memory, from its bands."""

    def __init__(self, volumes: Sequence[BandSource]) -> None:
        self._shapes = [(slices, rows, columns) for slices, _, rows, columns in (each.shape for each in volumes)]
        self._places = [(volume.geometry, volume.extra) for volume in volumes]
        self._arrays: list[NDArray[Any]] = []

    def write(self, band: Band[Any]) -> None:
        """Take some rows. Raises CaseError if there is no memory for the mask."""
        try:
            while len(self._arrays) <= band.volume:
                self._arrays.append(np.zeros(self._shapes[len(self._arrays)], band.labels.dtype))
        except MemoryError:
            raise CaseError(NO_MEMORY) from None
        stop = band.row_start + len(band.labels)
        self._arrays[band.volume][band.slice_index, band.row_start : stop] = band.labels

    def label_maps(self) -> tuple[LabelMap, ...]:
        """One per volume, after the last band."""
        places = zip(self._arrays, self._places, strict=True)
        return tuple(LabelMap(pixels, geometry, extra) for pixels, (geometry, extra) in places)
