"""Images and label maps.

Pixel axes are always ``[slice, channel, row, column]`` for images and ``[slice, row, column]`` for label maps.
Where they lie in space is a :class:`segcli.geometry.Geometry`.
A case is read as one or more *parts*: stacks of equal slices (time points of a 4-D file, TIFF pages of another size).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segcli.geometry import Geometry as Geometry  # noqa: PLC0414 - also found here
from segcli.geometry import Vector as Vector  # noqa: PLC0414

Json: TypeAlias = Any
"""A value that survives ``json.dumps`` and ``json.loads`` unchanged."""


class BandSource(Protocol):
    """An image that can be read a band of rows at a time, whether it is in memory or not."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of slices, channels, rows, columns."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, native byte order."""
        ...

    @property
    def geometry(self) -> Geometry:
        """Where the pixels lie."""
        ...

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """``[slice, row, column]``, False for padding; None if all pixels are valid, as in every banded image."""
        ...

    @property
    def extra(self) -> Mapping[str, Json]:
        """What the writer of this format wants back."""
        ...

    def read(self, slice_index: int, row_start: int, row_stop: int) -> NDArray[Any]:
        """``[channel, row, column]`` of the rows ``row_start`` to ``row_stop`` (exclusive), in the source's dtype.

        Raises a CaseError if the image cannot be decoded there.
        """
        ...


@dataclass(frozen=True)
class Image:
    """One part of a case, all in memory; a :class:`BandSource`.

    ``pixels``: ``[slice, channel, row, column]``, any real dtype, native byte order, rescaled where the source says
    so. ``valid``: bool ``[slice, row, column]``, False where the source marks padding (kept out of the statistics,
    always background); None if all pixels are valid. ``extra``: what the writer of this format wants back.
    """

    pixels: NDArray[Any]
    geometry: Geometry = Geometry()
    valid: NDArray[np.bool_] | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of slices, channels, rows, columns."""
        slices, channels, rows, columns = self.pixels.shape
        return slices, channels, rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.pixels.dtype

    def read(self, slice_index: int, row_start: int, row_stop: int) -> NDArray[Any]:
        """``[channel, row, column]`` of these rows, a view."""
        return self.pixels[slice_index, :, row_start:row_stop]


@dataclass(frozen=True)
class LabelMap:
    """The result for one part: ``pixels`` ``[slice, row, column]``, uint8 or uint16; 0 is background.

    ``geometry`` and ``extra`` are those of the image it was made from.
    """

    pixels: NDArray[Any]
    geometry: Geometry = Geometry()
    extra: Mapping[str, Json] = field(default_factory=dict)
