"""RLE Lossless frames (PS3.5 annex G): a header of offsets, then one PackBits segment a byte plane.

pydicom's own decoder is written in Python, which one core alone can run at a time; imagecodecs' DICOM RLE codec writes
past its buffer on damaged data. Its PackBits codec does neither, so the frame is taken apart here.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError
from segcli.formats.dicom.layout import Layout

_HEADER = 64
_DAMAGED = "an RLE frame whose segments do not hold what its header states: the pixel data is damaged"


def decode_rle(data: bytes, layout: Layout) -> NDArray[np.generic]:
    """``[row, column]`` or ``[row, column, sample]``, unsigned, bits as allocated. Raises UnreadableError."""
    width, pixels = layout.allocated // 8, layout.rows * layout.columns
    if len(data) < _HEADER:
        raise UnreadableError(_DAMAGED)
    count, *offsets = struct.unpack_from("<16L", data)
    if count != width * layout.samples or layout.allocated % 8 or count > 15:
        raise UnreadableError(_DAMAGED)
    edges = [*offsets[:count], len(data)]
    if edges[0] < _HEADER or any(start >= stop for start, stop in pairwise(edges)):
        raise UnreadableError(_DAMAGED)
    planes = [_segment(data[start:stop], pixels) for start, stop in pairwise(edges)]
    # Planes come sample by sample, the most significant byte first.
    bytes_of = np.stack(planes).reshape(layout.samples, width, pixels)[:, ::-1]
    samples = np.ascontiguousarray(bytes_of.transpose(2, 0, 1)).view(f"<u{width}")[..., 0]
    return samples.reshape((layout.rows, layout.columns, layout.samples)[: 2 + (layout.samples > 1)])


def _segment(data: bytes, size: int) -> NDArray[np.uint8]:
    """One byte plane; behind it there may be a single byte of padding to an even length."""
    for packed in (data, data[:-1]) if data.endswith(b"\0") else (data,):
        try:
            plane = np.frombuffer(imagecodecs.packbits_decode(packed), np.uint8)
        except Exception:  # noqa: BLE001, S112 - the codec's own error on cut data
            continue
        if plane.size == size:
            return plane
    raise UnreadableError(_DAMAGED)
