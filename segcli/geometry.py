"""Where images lie in space: spacing, directions, positions, and whether two lie at the same place.

Space is DICOM's patient coordinate system: x to the patient's Left, y to Posterior, z to Superior, in mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError
from segcli.orientation import PAIRS

Vector: TypeAlias = tuple[float, float, float]

TOLERANCE = 1e-2
"""By which two images may differ and still lie at the same place: mm of spacing and positions; of directions, which
are unit vectors, the same number (half a degree)."""
RELATIVE_TOLERANCE = 1e-3
"""Share of a value that is added to :data:`TOLERANCE`: headers round large numbers."""
SMALLEST_BOX = 1e-6
"""Volume of the box of three unit directions below which they do not span space."""
LEANING = 0.005
"""Cosine of the angle between two axes from which on they are not at right angles: 0.3 degrees."""

_SHEARED = "the volume's axes are not at right angles"


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
            letters[index] = PAIRS[world][int(directions[index, world] < 0)]
            strength[index, :] = -1
            strength[:, world] = -1
        return "".join(letters)

    @property
    def voxel_volume(self) -> float | None:
        """Volume of one voxel in mm³; None without spacing in all three directions."""
        if self.spacing is None or self.slice_spacing is None:
            return None
        return self.spacing[0] * self.spacing[1] * self.slice_spacing

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers; :meth:`from_json` restores the equal object (floats survive bit for bit)."""
        return {
            "spacing": self.spacing,
            "slice_spacing": self.slice_spacing,
            "axes": self.axes,
            "positions": self.positions,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Geometry:
        """Inverse of :meth:`to_json`."""

        def vectors(rows: Any) -> Any:
            return None if rows is None else tuple((float(x), float(y), float(z)) for x, y, z in rows)

        spacing = value["spacing"]
        return Geometry(
            spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
            slice_spacing=value["slice_spacing"],
            axes=vectors(value["axes"]),
            positions=vectors(value["positions"]),
        )


def difference(one: Geometry, other: Geometry) -> str | None:
    """In which of ``spacing``, ``orientation`` and ``position`` two stacks of one size differ; None: in nothing.

    What one of them does not state is not compared.
    """
    pairs = (
        ("spacing", one.spacing, other.spacing),
        ("orientation", one.axes, other.axes),
        ("position", one.positions, other.positions),
    )
    for name, a, b in pairs:
        if a is not None and b is not None and not np.allclose(a, b, RELATIVE_TOLERANCE, TOLERANCE):
            return name
    return None


def vector(values: Sequence[float] | NDArray[np.float64]) -> Vector:
    """Three plain floats."""
    x, y, z = (float(value) for value in values)
    return x, y, z


def spans_space(directions: NDArray[np.float64]) -> bool:
    """Whether the columns of a 3 × 3 matrix are finite and point in three different directions."""
    return bool(
        np.isfinite(directions).all()
        and np.linalg.norm(np.cross(directions[:, 0], directions[:, 1])) >= SMALLEST_BOX
        and abs(np.linalg.det(directions)) >= SMALLEST_BOX
    )


def regular_stack(
    directions: NDArray[np.float64],
    spacing: tuple[float, float] | None,
    step: float | None,
    origin: NDArray[np.float64],
    slices: int,
) -> Geometry:
    """Of slices that follow each other in equal steps.

    ``directions``: unit vectors of increasing column, row and slice index, as columns; they span space. ``step``: mm
    along the third of them, which need not be the normal of the slices; None: unknown, taken as 1 mm for positions.
    ``origin``: the centre of the first pixel.
    """
    normal = np.cross(directions[:, 0], directions[:, 1])
    offset = directions[:, 2] * (1.0 if step is None else step)
    depth = None if step is None else float(abs(normal @ directions[:, 2]) / np.linalg.norm(normal)) * step
    return Geometry(
        spacing=spacing,
        slice_spacing=depth,
        axes=(vector(directions[:, 0]), vector(directions[:, 1]), vector(directions[:, 2])),
        positions=tuple(vector(origin + index * offset) for index in range(slices)),
    )


def shear_warnings(geometry: Geometry, spatial_dims: int) -> tuple[str, ...]:
    """What must be told of a sheared volume. Raises UnsupportedError for a 3-D model, or if its pixels are sheared."""
    if geometry.axes is None:
        return ()
    leaning = {pair for pair in combinations(range(3), 2) if abs(_cosine(geometry, *pair)) > LEANING}
    if (0, 1) in leaning:
        raise UnsupportedError(f"{_SHEARED} within its slices: resample it first")
    if leaning and spatial_dims == 3:
        raise UnsupportedError(f"{_SHEARED}, which a 3-D model needs: resample it first, or use a 2-D model")
    return (f"{_SHEARED} (slices lean as with gantry tilt)",) if leaning else ()


def _cosine(geometry: Geometry, one: int, other: int) -> float:
    axes = np.asarray(geometry.axes, dtype=float)
    return float(axes[one] @ axes[other])
