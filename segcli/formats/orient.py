"""The Orientation tag of EXIF and TIFF (values 1-8): from the pixels as stored to the picture as a viewer shows it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

_TRANSPOSED = frozenset({5, 6, 7, 8})
_COLUMNS_REVERSED = frozenset({2, 3, 6, 7})
_ROWS_REVERSED = frozenset({3, 4, 7, 8})


def transposes(orientation: int) -> bool:
    """Whether rows and columns change places."""
    return orientation in _TRANSPOSED


def as_viewed(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """``[..., row, column]`` as stored → as viewed, a view; any value but 2-8 leaves the pixels as they are."""
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(-1, -2)
    if orientation in _COLUMNS_REVERSED:
        pixels = pixels[..., ::-1]
    if orientation in _ROWS_REVERSED:
        pixels = pixels[..., ::-1, :]
    return pixels
