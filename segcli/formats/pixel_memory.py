"""Pixel arrays from a reader process to the main process in anonymous memory, mapped there, not copied, where large.

All arrays of a case lie in one ``memfd_create`` file (not in /dev/shm, which is 64 MB in a container). Where the
system has no memfd: an unlinked private file in a folder the main process names.
"""

from __future__ import annotations

import errno
import fcntl
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.formats.wire import BrokenWire
from segcli.image import Json

_ALIGNMENT = 64
_AT_ONCE = 256 * 1024 * 1024
_COPIED = 4 * 2**20
"""Bytes up to which arrays are copied: what is mapped holds a descriptor, and a run reads many small cases ahead."""

_KINDS = "biuf"


class PixelMemory:
    """Arrays laid one after another into one descriptor. ``folder`` is used only where memfd_create is missing."""

    def __init__(self, folder: str | None = None) -> None:
        self._sealable = hasattr(os, "memfd_create")
        if self._sealable:
            self.descriptor = os.memfd_create("segcli-pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        else:
            self.descriptor, path = tempfile.mkstemp(prefix=".segcli-pixels-", dir=folder)
            os.unlink(path)  # noqa: PTH108 - a plain name from mkstemp
        self._end = 0

    def put(self, pixels: NDArray[Any]) -> Json:
        """Copy ``pixels`` in and return where they lie. Written, not mapped: a full disk is then an OSError, no SIGBUS.

        Raises TypeError for arrays that are no plain numbers.
        """
        native = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
        if native.dtype.kind not in _KINDS:
            raise TypeError(f"pixels of type {native.dtype}")
        start = -(-self._end // _ALIGNMENT) * _ALIGNMENT
        data = native.reshape(-1).view(np.uint8).data
        offset = 0
        while offset < len(data):
            offset += os.pwrite(self.descriptor, data[offset : offset + _AT_ONCE], start + offset)
        self._end = start + len(data)
        return {"shape": list(native.shape), "dtype": native.dtype.str, "offset": start}

    def seal(self) -> None:
        """From here on nobody can change or shrink it: the main process could die of SIGBUS otherwise."""
        if self._sealable:
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)

    def close(self) -> None:
        """Close this process's descriptor; what was mapped elsewhere stays."""
        os.close(self.descriptor)


def map_arrays(descriptor: int, places: Sequence[Json]) -> list[NDArray[Any]]:
    """Arrays at ``places`` (from :meth:`PixelMemory.put`) in ``descriptor``, which may be closed afterwards.

    They are writable (changes stay private, pages are copied when touched); the memory is freed with the last of them.
    Raises BrokenWire where the places do not lie in the file.
    """
    size = os.fstat(descriptor).st_size
    content = _copied(descriptor, size) if size <= _COPIED else _mapped(descriptor, size)
    return [_array(content, size, place) for place in places]


def _mapped(descriptor: int, size: int) -> mmap.mmap | bytearray:
    try:
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return _copied(descriptor, size)


def _copied(descriptor: int, size: int) -> bytearray:
    content = bytearray(size)
    at = 0
    while at < size:
        piece = os.pread(descriptor, min(_AT_ONCE, size - at), at)
        if not piece:
            raise BrokenWire
        content[at : at + len(piece)] = piece
        at += len(piece)
    return content


def _array(content: mmap.mmap | bytearray, size: int, place: Json) -> NDArray[Any]:
    try:
        shape = tuple(int(side) for side in place["shape"])
        dtype, offset = np.dtype(str(place["dtype"])), int(place["offset"])
    except (KeyError, TypeError, ValueError):
        raise BrokenWire from None
    count = math.prod(shape)
    if dtype.kind not in _KINDS or min((*shape, offset)) < 0 or offset + count * dtype.itemsize > size:
        raise BrokenWire
    if count == 0:
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype, count, offset).reshape(shape)
