"""Stored values → intensities: padding, polarity, modality LUT, rescale, palette, colour (PS3.3 C.7.6.3, C.11.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, convert_color_space

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.dicom import values
from segcli.formats.dicom.layout import Layout

_POLARITY_IS_DISPLAY = frozenset({"CT", "PT", "NM"})


def is_inverted(data_set: Dataset, layout: Layout) -> bool:
    """Whether stored values are to be turned round because small ones are bright.

    Not for CT, PT and NM, nor for MR that is quantitative (rescaled or mapped to real-world values): their numbers
    mean something, and MONOCHROME1 tells only how to show them.
    """
    modality = values.text(data_set, "Modality")
    if not layout.monochrome1 or modality in _POLARITY_IS_DISPLAY:
        return False
    quantitative = "RescaleSlope" in data_set or "RealWorldValueMappingSequence" in data_set
    return not (modality == "MR" and quantitative)


def inverted(stored: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Stored values about the middle of the stored range: unsigned ``2^bits - 1 - x``, signed ``-1 - x``."""
    if layout.signed:
        return np.asarray(~stored)
    return np.asarray(np.array((1 << layout.stored) - 1, stored.dtype) - stored)


def valid_pixels(stored: NDArray[Any], data_set: Dataset, layout: Layout) -> NDArray[np.bool_] | None:
    """False where stored values are the padding value or between it and the range limit (C.7.5.1.1.2); None: all True.

    ``stored``: ``[row, column]`` before polarity and rescale.
    """
    if np.issubdtype(stored.dtype, np.floating):
        padding = values.number(data_set, "FloatPixelPaddingValue")
        limit = values.number(data_set, "FloatPixelPaddingRangeLimit")
    else:
        padding = _as_stored(values.whole(data_set, "PixelPaddingValue"), layout)
        limit = _as_stored(values.whole(data_set, "PixelPaddingRangeLimit"), layout)
    if padding is None:
        return None
    if limit is None and not (stored.min() <= padding <= stored.max()):
        return None
    valid = stored != padding if limit is None else (stored < min(padding, limit)) | (stored > max(padding, limit))
    return None if valid.all() else np.asarray(valid)


def _as_stored(value: int | None, layout: Layout) -> int | None:
    """A padding value in the numbers of the stored values; None where no stored value can equal it."""
    if value is None:
        return None
    low, high = (-(1 << (layout.stored - 1)), 1 << (layout.stored - 1)) if layout.signed else (0, 1 << layout.stored)
    if layout.signed and value >= 1 << (layout.allocated - 1):  # written as unsigned although pixels are signed
        value -= 1 << layout.allocated
    return value if low <= value < high else None


def through_modality_lut(stored: NDArray[Any], item: Dataset, little_endian: bool) -> NDArray[Any]:
    """Stored values through the table of a Modality LUT Sequence item (C.11.1.1); ends are clamped. uint8 or uint16."""
    descriptor = values.numbers(item, "LUTDescriptor", 3)
    if descriptor is None:
        raise UnreadableError("a modality LUT without descriptor")
    entries, first, bits = int(descriptor[0]) or 1 << 16, int(descriptor[1]), int(descriptor[2])
    data = values.raw(item, "LUTData")
    if isinstance(data, bytes):
        table: NDArray[Any] = np.frombuffer(data, "<u2" if little_endian else ">u2")
        if len(table) < entries <= len(data):
            table = np.frombuffer(data, np.uint8)
    else:
        table = np.asarray(data, dtype=np.int64) & 0xFFFF
    if table.size < entries or bits not in range(1, 17):
        raise UnreadableError("a modality LUT shorter than its descriptor states")
    index = np.clip(stored.astype(np.int64) - _first_mapped(first, stored), 0, entries - 1)
    return np.asarray(table[index].astype(np.uint8 if bits <= 8 else np.uint16))


def _first_mapped(first: int, stored: NDArray[Any]) -> int:
    """The descriptor's second value has the sign of the pixels, but may have been read as the other kind."""
    signed = np.issubdtype(stored.dtype, np.signedinteger)
    if signed and first >= 1 << 15:
        return first - (1 << 16)
    return first + (1 << 16) if not signed and first < 0 else first


def rescaled(stored: NDArray[Any], slope: float, intercept: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``slope · x + intercept`` in the floating-point type ``dtype``, computed in float64 and rounded once."""
    if slope == 1 and intercept == 0:
        return stored.astype(dtype, copy=False)
    return np.asarray((stored.astype(np.float64) * slope + intercept).astype(dtype))


def to_rgb(stored: NDArray[Any], ybr: bool, data_set: Dataset, layout: Layout) -> NDArray[Any]:
    """``[row, column(, sample)]`` → ``[R G B, row, column]``, uint8 or uint16."""
    if layout.photometric == "PALETTE COLOR":
        colours = apply_color_lut(stored, data_set)[..., :3]
    elif ybr:
        if stored.dtype != np.uint8:
            raise UnsupportedError("YBR colour with more than 8 bits a sample")
        colours = convert_color_space(stored, "YBR_FULL", "RGB")
    else:
        colours = stored
    return np.ascontiguousarray(np.moveaxis(colours, -1, 0))
