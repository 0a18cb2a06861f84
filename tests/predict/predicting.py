"""What the tests of this room share beside their fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Predict = Callable[..., dict[str, Any]]
"""See the fixture of this name."""


def png(path: Path) -> NDArray[Any]:
    """Values of a mask, as Pillow reads them."""
    with Image.open(path) as image:
        return np.asarray(image)
