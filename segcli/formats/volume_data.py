"""The voxels of a volume with a text header, from the bytes behind it or beside it."""

from __future__ import annotations

import binascii
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError
from segcli.formats.unpack import GZIP, ZLIB_OR_GZIP, unpack
from segcli.formats.volume_header import VolumeHeader

_CUT_OFF = "is cut off or damaged: it does not hold the voxels its header states"
_TEXT = b"0123456789+-.eEnaifNAIF \t\r\n"
_BLANKS = b" \t\r\n\v\f"


def voxels(header: VolumeHeader, payload: memoryview, what: str) -> NDArray[Any]:
    """``[time x slice, component, row, column]`` in native byte order.

    Raises UnreadableError where the payload does not hold all of them, and what ``unpack`` raises.
    """
    flat = _flat(header, payload, what)
    if len(flat) != header.count:
        raise UnreadableError(f"the {what} {_CUT_OFF}")
    stored = list(header.sizes)
    stored.insert(header.component_axis, header.components)
    values = np.moveaxis(flat.reshape(stored[::-1]), len(stored) - 1 - header.component_axis, -1)
    columns, rows, slices, times = header.sides
    planes = np.moveaxis(values.reshape(slices * times, rows, columns, header.components), -1, 1)
    return planes.astype(header.dtype.newbyteorder("="), copy=False)


def _flat(header: VolumeHeader, payload: memoryview, what: str) -> NDArray[Any]:
    packing, size = header.packing, header.count * header.dtype.itemsize
    payload = _behind_lines(payload, packing.skip_lines)
    skip = packing.skip_bytes
    if packing.encoding == "raw":
        start = len(payload) - size if skip < 0 else skip
        if start < 0 or start + size > len(payload):
            raise UnreadableError(f"the {what} {_CUT_OFF}")
        return np.frombuffer(payload, header.dtype, header.count, start)
    if packing.encoding == "gzip":
        data, ended = unpack(payload, size, skip=skip, window=GZIP)
    elif packing.encoding == "zlib":
        payload = payload[skip:]
        if packing.packed_size is not None and packing.packed_size < len(payload):
            payload = payload[: packing.packed_size]
        data, ended = unpack(payload, size, window=ZLIB_OR_GZIP, several=False)
    elif packing.encoding == "hex":
        return np.frombuffer(binascii.unhexlify(payload.tobytes().translate(None, _BLANKS)), header.dtype)
    else:
        return _from_text(payload, header)
    if not ended:  # damaged streams may unpack to more
        raise UnreadableError(f"the {what} {_CUT_OFF}")
    return data.view(header.dtype)


def _behind_lines(payload: memoryview, lines: int) -> memoryview:
    if not lines:
        return payload
    data, at = payload.tobytes(), 0
    for _ in range(lines):
        at = data.find(b"\n", at) + 1
        if at == 0:
            raise EOFError
    return payload[at:]


def _from_text(payload: memoryview, header: VolumeHeader) -> NDArray[Any]:
    """Numbers between blanks or commas. Raises UnreadableError for those that the type does not hold."""
    text = payload.tobytes().replace(b",", b" ")
    if text.translate(None, _TEXT):
        raise UnreadableError("the volume's text holds more than numbers: export it again")
    dtype = header.dtype.newbyteorder("=")
    if dtype.kind == "f":
        return np.fromstring(text, np.float64, sep=" ", count=_most(text, header)).astype(dtype)
    wide = np.dtype(np.uint64 if dtype == np.uint64 else np.int64)
    values = np.fromstring(text, wide, sep=" ", count=_most(text, header))
    limits = np.iinfo(dtype)
    sound = values.min(initial=0) >= limits.min and values.max(initial=0) <= limits.max
    if dtype == wide:  # numbers that it does not hold become its largest, negative ones wrap
        limits = np.iinfo(wide)
        sound = limits.max not in values and (dtype.kind == "u" or limits.min not in values)
        sound &= dtype.kind == "i" or b"-" not in text
    if not sound:
        raise UnreadableError("the volume's text holds numbers that its type does not: export it again")
    return values.astype(dtype)


def _most(text: bytes, header: VolumeHeader) -> int:
    """Numbers to read: those the header states, if so many can stand there."""
    if header.count > math.ceil(len(text) / 2):
        raise EOFError
    return header.count
