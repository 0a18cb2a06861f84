"""Label numbers as files hold them: which of the two label types, and the colours of a palette."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.contract import Label
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


MAX_INDEX = 255


def fits_palette(labels: Sequence[Label]) -> bool:
    """Whether every label's value can be an index of a 256-colour palette."""
    return all(label.value <= MAX_INDEX for label in labels)


def color_table(labels: Sequence[Label]) -> bytes:
    """256 x (red, green, blue), uint8: background black, labels in the card's colours, everything else grey."""
    table = bytearray([0, 0, 0] + [128, 128, 128] * MAX_INDEX)
    for label in labels:
        if label.value <= MAX_INDEX:
            table[3 * label.value : 3 * label.value + 3] = bytes(label.color)
    return bytes(table)
