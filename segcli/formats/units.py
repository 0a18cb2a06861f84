"""Units of length as microscopy files spell them, in mm; a word that is not here is no length (pixels)."""

from __future__ import annotations

import math

_MM = {
    "pm": 1e-9,
    "nm": 1e-6,
    "\u00b5m": 1e-3,  # micro sign
    "\u03bcm": 1e-3,  # Greek mu
    "\\u00b5m": 1e-3,  # ImageJ's spelling in ASCII
    "um": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "mm": 1.0,
    "cm": 10.0,
    "dm": 100.0,
    "m": 1000.0,
    "\u00c5": 1e-7,  # angstrom
    "in": 25.4,
    "inch": 25.4,
}


def is_length(unit: str) -> bool:
    """Whether the unit is one whose size in mm is known."""
    return unit in _MM or unit.lower() in _MM


def to_mm(value: float, unit: str) -> float | None:
    """A positive, finite length in mm; None for anything else."""
    factor = _MM.get(unit, _MM.get(unit.lower()))
    if factor is None or not math.isfinite(value) or value <= 0:
        return None
    return value * factor
