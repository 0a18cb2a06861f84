"""Whether an array that some file holds can be label numbers, and in which of the two label types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError

MAX_LABEL = 65535


def as_labels(values: NDArray[Any]) -> NDArray[Any]:
    """Any real array → uint8 or uint16, C-contiguous; uint8 and uint16 keep their type, others take the smaller fit.

    Raises UnsupportedError for numbers that are no whole numbers from 0 to 65535.
    """
    if values.dtype.kind not in "buif":
        raise UnsupportedError("the file is no label map: it holds no plain numbers")
    if values.dtype.newbyteorder("=") in (np.uint8, np.uint16):
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if values.size and (not np.all(values >= 0) or not np.all(values <= MAX_LABEL)):
        raise UnsupportedError("the file is no label map: it holds numbers outside 0 to 65535")
    whole = values.astype(np.uint16)
    if values.dtype.kind == "f" and not np.array_equal(whole, values):
        raise UnsupportedError("the file is no label map: it holds fractions")
    return np.ascontiguousarray(whole, dtype=label_type(int(whole.max(initial=0))))


def label_type(largest: int) -> type[np.uint8 | np.uint16]:
    """The smaller type that holds ``largest``."""
    return np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16
