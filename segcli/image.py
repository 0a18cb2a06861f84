"""Images, label maps and where they lie in space.

Pixel axes are always ``[slice, channel, row, column]`` for images and ``[slice, row, column]`` for label maps.
Space is DICOM's patient coordinate system: x to the patient's Left, y to Posterior, z to Superior, in mm.
A case is read as one or more *parts*: stacks of equal slices (time points of a 4-D file, TIFF pages of another size).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = tuple[float, float, float]
Json: TypeAlias = Any
"""A value that survives ``json.dumps`` and ``json.loads`` unchanged."""

_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))


@dataclass(frozen=True)
class Geometry:
    """Where the pixel centres of one stack lie; None wherever the source does not say.

    ``spacing``: mm between rows, between columns. ``slice_spacing``: mm between slices along their normal, only for
    a regular stack. ``axes``: unit vectors along which the column, row and slice index increase. ``positions``: the
    centre of pixel (0, 0) of each slice.
    """

    spacing: tuple[float, float] | None = None
    slice_spacing: float | None = None
    axes: tuple[Vector, Vector, Vector] | None = None
    positions: tuple[Vector, ...] | None = None

    @property
    def orientation(self) -> str | None:
        """Letters nearest to the directions of increasing column, row and slice index, e.g. ``LPS``; None if unknown.

        Each axis of space is given to the index axis that follows it most closely, so letters never repeat.
        """
        if self.axes is None:
            return None
        directions = np.asarray(self.axes, dtype=float)
        strength = np.abs(directions)
        letters = ["", "", ""]
        for _ in range(3):
            index, world = np.unravel_index(int(np.argmax(strength)), strength.shape)
            letters[index] = _LETTERS[world][int(directions[index, world] < 0)]
            strength[index, :] = -1
            strength[:, world] = -1
        return "".join(letters)

    @property
    def voxel_volume(self) -> float | None:
        """Volume of one voxel in mm³; None without spacing in all three directions."""
        if self.spacing is None or self.slice_spacing is None:
            return None
        return self.spacing[0] * self.spacing[1] * self.slice_spacing

    def to_json(self) -> Json:
        """Plain lists and numbers; :meth:`from_json` restores the equal object (floats survive bit for bit)."""
        return {
            "spacing": self.spacing,
            "slice_spacing": self.slice_spacing,
            "axes": self.axes,
            "positions": self.positions,
        }

    @staticmethod
    def from_json(value: Json) -> Geometry:
        """Inverse of :meth:`to_json`."""

        def vectors(rows: Json) -> Any:
            return None if rows is None else tuple((float(x), float(y), float(z)) for x, y, z in rows)

        spacing = value["spacing"]
        return Geometry(
            spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
            slice_spacing=value["slice_spacing"],
            axes=vectors(value["axes"]),
            positions=vectors(value["positions"]),
        )


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


class BandSink(Protocol):
    """A mask that is written a band of rows at a time, each slice from its first row to its last."""

    def write(self, slice_index: int, row_start: int, labels: NDArray[Any]) -> None:
        """Take ``labels`` ``[row, column]``, uint8 or uint16, as the rows from ``row_start`` on."""
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
