"""Whether the axes of a volume stand at right angles: a sheared one is no box, which 3-D models and mm³ take it for."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from segcli.errors import UnsupportedError
from segcli.image import Geometry

LEANING = 0.005
"""Cosine of the angle between two axes from which on they are not at right angles: 0.3 degrees."""

_SHEARED = "the volume's axes are not at right angles"


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
