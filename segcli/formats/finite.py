"""Pixels that are no number (NaN, infinite) are padding: kept out of the statistics, always background, and said so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError


def hide_non_finite(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None, tuple[str, ...]]:
    """``[slice, channel, row, column]`` → (pixels, ``valid`` ``[slice, row, column]`` or None, warnings).

    A pixel is valid if all its channels are finite; the others get their channel's least finite value, so that they
    poison neither statistics nor the network. Raises UnsupportedError if no pixel is valid.
    """
    if pixels.dtype.kind != "f":
        return pixels, None, ()
    finite = np.isfinite(pixels)
    if finite.all():
        return pixels, None, ()
    valid = finite.all(axis=1)
    if not valid.any():
        raise UnsupportedError("no pixel of the image is a finite number")
    least = np.min(pixels, axis=(0, 2, 3), keepdims=True, where=finite, initial=np.finfo(pixels.dtype).max)
    least = np.where(finite.any(axis=(0, 2, 3), keepdims=True), least, 0).astype(pixels.dtype)
    share = 100 * (1 - float(valid.mean()))
    warning = f"{share:.2g} % of the pixels are not finite (NaN or infinite): taken as background"
    return np.where(finite, pixels, least), valid, (warning,)
