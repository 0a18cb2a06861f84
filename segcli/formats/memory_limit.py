"""How much memory a reader process may take for one request, enforced by the kernel.

What it holds before the request, :data:`HEADERS`, some bytes for each byte of the files, and what :func:`allow` adds
for pixels that a checked header declares. A header that lies about anything else ends in a MemoryError of its own
case. Counted is writable memory of the process itself (RLIMIT_DATA), not the libraries mapped into it. Outside Linux
nothing is enforced, and in a process that never calls :func:`begin` nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

HEADERS = 192 * 2**20
"""Bytes that reading headers may take, with the codecs that are loaded on the way."""

A_THREAD = 12 * 2**20
"""Bytes of a decoding thread (its stack counts in full), of which there may be one for each core."""

BYTES_OF_A_FILE = 3
"""For each byte of the files: they are read whole, and some are taken apart."""

MOST_OF_FILES = 2**32
"""Bytes that the files themselves can bring in: a sparse file is large without being paid for."""

COPIES = 7
"""How often the pixels may be held at once: as decoded, reordered, and as float32 of which grey is made from RGB.

Measured on 4000 x 4000 pixels of each format and type: six times at most (8-bit RGB as grey), two times without that.
"""

_base: int | None = None
_allowed = 0


def begin(stored: int) -> None:
    """Start a request on files of ``stored`` bytes; what was allowed to the last one is over."""
    global _base, _allowed  # noqa: PLW0603 - a process has one limit
    _base = _held()
    _allowed = HEADERS + A_THREAD * (os.cpu_count() or 1) + min(BYTES_OF_A_FILE * stored, MOST_OF_FILES)
    _apply()


def allow_pixels(count: int, channels: int, itemsize: int) -> None:
    """Allow what an image takes in memory: ``count`` pixels (rows x columns x slices), its size checked before."""
    allow(COPIES * count * max(1, channels) * itemsize)


def allow(count: int) -> None:
    """Allow ``count`` bytes more until the end of the request."""
    global _allowed  # noqa: PLW0603
    if _base is not None:
        _allowed += count
        _apply()


@contextlib.contextmanager
def allowing(count: int) -> Iterator[None]:
    """Allow ``count`` bytes more inside the block."""
    allow(count)
    try:
        yield
    finally:
        allow(-count)


def _apply() -> None:
    if _base is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = _base + _allowed
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int | None:
    """Writable bytes of this process; None where the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmData:")), None)
    return None if kilobytes is None else int(kilobytes) * 1024
