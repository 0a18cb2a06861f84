"""The voxels of a volume with a text header, from the bytes behind it or beside it."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnreadableError
from segcli.formats.unpack import GZIP, SURPLUS, ZLIB_OR_GZIP, unpack
from segcli.formats.volume.header import VolumeHeader

_CUT_OFF = "is cut off or damaged: it does not hold the voxels its header states"
_TEXT = b"0123456789+-.eEnaifNAIF \t\r\n"
_BLANKS = b" \t\r\n\v\f"
_PIECE = 1 << 16
_LONGEST_WORD = 1000


def voxels(header: VolumeHeader, payload: memoryview, what: str) -> NDArray[Any]:
    """``[time x slice, component, row, column]`` in native byte order.

    Raises UnreadableError where the payload does not hold all of them, and what ``unpack`` raises.
    """
    flat = _flat(header, payload, what)
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
        data, ended = np.frombuffer(payload, np.uint8, size, start), start + size == len(payload)
    elif packing.encoding == "gzip":
        data, ended = unpack(payload, size, skip=skip, window=GZIP)
    elif packing.encoding == "zlib":
        payload = payload[skip:]
        if packing.packed_size is not None and packing.packed_size < len(payload):
            payload = payload[: packing.packed_size]
        data, ended = unpack(payload, size, window=ZLIB_OR_GZIP, several=False)
    elif packing.encoding == "hex":
        data = np.frombuffer(binascii.unhexlify(payload.tobytes().translate(None, _BLANKS)), np.uint8)
        ended = len(data) <= size
        if len(data) < size:
            raise UnreadableError(f"the {what} {_CUT_OFF}")
    else:
        return _from_text(payload, header)
    if not ended:
        raise UnreadableError(f"the {what} holds more data than its header states: {SURPLUS}")
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
    """Numbers between blanks or commas, no more and no fewer than the header states. Raises UnreadableError.

    NumPy's own reader of text fills up with whatever the memory holds where numbers are missing.
    """
    values = np.empty(header.count if 2 * header.count <= len(payload) + 1 else 0, header.dtype.newbyteorder("="))
    number, have = float if values.dtype.kind == "f" else int, 0
    for words in _words(payload):
        if have + len(words) > len(values):
            break
        try:
            values[have : have + len(words)] = np.fromiter(map(number, words), values.dtype, len(words))
        except OverflowError:
            raise UnreadableError("the volume's text holds numbers that its type does not: export it again") from None
        have += len(words)
    else:
        if have == header.count:
            return values
    raise UnreadableError("the volume's text holds fewer or more numbers than its header states: export it again")


def _words(payload: memoryview) -> Iterator[list[bytes]]:
    """The words of a text, some at a time. Raises UnreadableError for what cannot stand in a number."""
    rest = b""
    for at in range(0, len(payload), _PIECE):
        text = rest + payload[at : at + _PIECE].tobytes().replace(b",", b" ")
        if text.translate(None, _TEXT):
            raise UnreadableError("the volume's text holds more than numbers: export it again")
        words = text.split()
        is_whole = at + _PIECE >= len(payload) or text[-1:].isspace()
        rest = b"" if is_whole else words.pop()
        yield words
        if len(rest) > _LONGEST_WORD:
            raise UnreadableError("the volume's text holds more than numbers: export it again")
