"""What a file may announce, and how much memory its reader process then gets.

Slices. Every slice (page, frame, time point of a slice) costs at least one tile of the network, about 10 ms with the
models that segcli ships, however small it is: 92 bytes of gzip can announce 10,000 slices of one pixel, 100 seconds
of work. So an image may have 2,000 slices, or one for each 500 bytes of its files if that is more. 2,000 slices are
more than ``--max-pixels`` allows of 512 x 512, so an empty mask packed to nothing passes; who has more raises
``--max-pixels``.

Memory. What the process holds before the request, :data:`HEADERS`, some bytes for each byte of the files, and what
:func:`allow` adds for pixels that a checked header declares; the kernel enforces it. A header that lies about anything
else ends in a MemoryError of its own case. Counted is writable memory of the process itself (RLIMIT_DATA), not the
libraries mapped into it. Outside Linux nothing is enforced, and in a process that never calls :func:`begin_request`
nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from segcli.errors import UnsupportedError

FREE_SLICES = 2_000
"""Slices that any image may have."""

BYTES_OF_A_SLICE = 500
"""Bytes of the files, as they are stored, that pay for a further slice."""

PIXELS_OF_A_SLICE = 250_000
"""What a slice that is not paid for counts as, where ``--max-pixels`` is raised: 500 x 500."""

MAX_CHANNELS = 10_000

_USUAL = 4
"""Bytes of one number where the caller does not say."""

MASK_PIXELS = 500_000_000
"""What a mask may take in memory by its header, as many pixels of four bytes: as an image by default."""

HEADERS = 192 * 2**20
"""Bytes that reading headers may take, with the codecs that are loaded on the way."""

A_THREAD = 12 * 2**20
"""Bytes of a decoding thread (its stack counts in full), of which there may be one for each core."""

BYTES_OF_A_FILE = 3
"""For each byte of the files: they are read whole, and some are taken apart."""

MAX_OF_FILES = 2**32
"""Bytes that the files themselves can bring in: a sparse file is large without being paid for."""

COPIES = 7
"""How often the pixels may be held at once: as decoded, reordered, and as float32 of which grey is made from RGB.

Measured on 4000 x 4000 pixels of each format and type: six times at most (8-bit RGB as grey), two times without that.
"""

_base: int | None = None
_allowed = 0


def most_slices(stored: int, max_pixels: int) -> int:
    """How many slices an image may have whose files hold ``stored`` bytes."""
    return max(FREE_SLICES, stored // BYTES_OF_A_SLICE, max_pixels // PIXELS_OF_A_SLICE)


def check_slices(slices: int, stored: int, max_pixels: int) -> None:
    """Raise UnsupportedError if an image announces more slices, over all parts, than its files may.

    ``slices``: all that will be segmented one by one: slices x time points, pages, frames. ``stored``: bytes of the
    case's files as they lie on the disk. ``max_pixels``: the option. Call it before anything is made for each slice.
    """
    most = most_slices(stored, max_pixels)
    if slices > most:
        needed = slices * PIXELS_OF_A_SLICE
        raise UnsupportedError(
            f"it announces {slices:,} slices in {stored:,} bytes, the limit for so few bytes is {most:,}: "
            f"raise it with --max-pixels {needed} if they are real"
        )


def check_channels(channels: int) -> None:
    """Raise UnsupportedError for more numbers in a pixel than any image has: each costs a name and a copy."""
    if channels > MAX_CHANNELS:
        raise UnsupportedError(f"it announces {channels:,} numbers for each pixel, at most {MAX_CHANNELS:,} are read")


def held_pixels(count: int, channels: int, itemsize: int = 1) -> int:
    """``count`` pixels; where one takes more than four bytes, the image counts as the larger one it is in memory."""
    return count * max(1, -(-channels * itemsize // 4))


def check_pixels(count: int, channels: int, limit: int, why: str | None = None, itemsize: int | None = None) -> None:
    """Raise UnsupportedError if ``count`` pixels (rows x columns x slices) are more than ``limit`` (``max_pixels``).

    ``itemsize``: bytes of one number. ``why``: what keeps the image from being read in bands, and what to do about it.
    A reader may take the memory of these pixels from here on.
    """
    held = held_pixels(count, channels, itemsize or 1)
    if held > limit:
        remark = f" ({why})" if why else ""
        raise UnsupportedError(
            f"the image has {held:,} pixels to hold at once, the limit is {limit:,}: raise it with --max-pixels{remark}"
        )
    allow_pixels(count, channels, itemsize or _USUAL)


def check_mask(count: int, itemsize: int, limit: int) -> None:
    """Raise UnsupportedError if ``count`` numbers of ``itemsize`` bytes take more than ``limit`` pixels of four bytes.

    A reader may take the memory of these numbers from here on.
    """
    held = -(-count * itemsize // _USUAL)
    if held > limit:
        raise UnsupportedError(
            f"the mask takes {count * itemsize:,} bytes, the limit is {limit * _USUAL:,}: crop it or split it"
        )
    allow_pixels(count, 1, itemsize)


def begin_request(stored: int) -> None:
    """Start a request on files of ``stored`` bytes; what was allowed to the last one is over."""
    global _base, _allowed  # noqa: PLW0603 - a process has one limit
    _base = _held()
    _allowed = HEADERS + A_THREAD * (os.cpu_count() or 1) + min(BYTES_OF_A_FILE * stored, MAX_OF_FILES)
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
