"""NumPy arrays. Which axis is which is never guessed where it could be two things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError, UsageError
from segcli.formats.interface import ReadRequest
from segcli.formats.limits import check_pixels
from segcli.formats.pixels import hide_non_finite, reconcile
from segcli.image import Image, LabelMap
from segcli.in_memory.given import Given, native, refuse_odd_numbers

STORED = "ZCYX"
MAX_COLOURS = 4
_LETTERS = "Z (slices), C (channels), Y (rows) and X (columns)"


def take_array(array: NDArray[Any], axes: str | None, request: ReadRequest) -> Given:
    """``axes``: a letter for each axis, of Z, C, Y and X; may be left out for ``YX`` and for what must be ``ZYX``."""
    if isinstance(array, np.ma.MaskedArray):
        raise UnsupportedError("the array is masked: fill what is masked first (array.filled(...); NaN is background)")
    array = np.asarray(array)
    refuse_odd_numbers(array.dtype)
    axes = _axes(array.shape, axes)
    if not array.size:
        raise UnsupportedError(f"the array has no pixel: its shape is {array.shape}")
    missing = [letter for letter in STORED if letter not in axes]
    pixels = np.expand_dims(array, tuple(range(len(missing)))).transpose(
        [[*missing, *axes].index(letter) for letter in STORED]
    )
    slices, channels, rows, columns = pixels.shape
    check_pixels(slices * rows * columns, channels, request.max_pixels)
    pixels = reconcile(native(pixels), [str(number) for number in range(channels)], request)
    pixels, valid, warnings = hide_non_finite(pixels)
    return Given((Image(pixels, valid=valid),), warnings, _only)


def _only(masks: Sequence[LabelMap]) -> LabelMap:
    return masks[0]


def _axes(shape: tuple[int, ...], axes: str | None) -> str:
    if axes is not None:
        named = str(axes).upper()
        if len(set(named)) < len(named) or not {"Y", "X"} <= set(named) or not set(named) <= set(STORED):
            raise UsageError(f"axes={axes!r} must be different letters of {_LETTERS}, Y and X among them, e.g. 'YXC'")
        if len(named) != len(shape):
            raise UsageError(f"axes={axes!r} names {len(named)} axes, the array has {len(shape)}")
        return named
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and not (1 < shape[0] <= MAX_COLOURS or shape[2] <= MAX_COLOURS):
        return "ZYX"
    if len(shape) == 3:
        raise UsageError(
            f"an array of shape {shape} may be slices or colours: say which with axes='ZYX', 'CYX' or 'YXC'"
        )
    if len(shape) == 4:
        raise UsageError(f"an array of four axes needs axes=..., letters of {_LETTERS}, e.g. 'ZCYX' or 'ZYXC'")
    raise UsageError(f"an array of {len(shape)} axes is no image: give [row, column] or [slice, row, column]")
