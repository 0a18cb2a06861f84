"""What every kind of image in memory becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError
from segcli.image import Image, LabelMap


@dataclass(frozen=True)
class Given:
    """``parts`` as a reader would have delivered them, what must be told, and ``back``: label maps → the caller's kind.

    ``back`` is called with one label map a part.
    """

    parts: tuple[Image, ...]
    warnings: tuple[str, ...]
    back: Callable[[Sequence[LabelMap]], Any]


def refuse_odd_numbers(dtype: np.dtype[Any]) -> None:
    """Raise UnsupportedError unless these are real numbers of at most 64 bits."""
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise UnsupportedError(f"the image holds {dtype.name}: convert it to real numbers of at most 64 bits first")


def native(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in this machine's byte order, C-contiguous."""
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
