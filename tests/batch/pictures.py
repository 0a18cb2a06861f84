"""Pictures to segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, seed: int) -> None:
    """36 columns and 40 rows of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 36), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
