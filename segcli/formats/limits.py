"""How many slices a file may announce for the bytes that it holds.

Every slice (page, frame, time point of a slice) costs at least one tile of the network, about 10 ms with the models
that segcli ships, however small it is: 92 bytes of gzip can announce 10,000 slices of one pixel, 100 seconds of work.
So an image may have 2,000 slices, or one for each 500 bytes of its files if that is more. 2,000 slices are more than
``--max-pixels`` allows of 512 x 512, so an empty mask packed to nothing passes; who has more raises ``--max-pixels``.
"""

from __future__ import annotations

from segcli.errors import UnsupportedError

FREE_SLICES = 2_000
"""Slices that any image may have."""

BYTES_OF_A_SLICE = 500
"""Bytes of the files, as they are stored, that pay for a further slice."""

PIXELS_OF_A_SLICE = 250_000
"""What a slice that is not paid for counts as, where ``--max-pixels`` is raised: 500 x 500."""

MOST_CHANNELS = 10_000


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
    if channels > MOST_CHANNELS:
        raise UnsupportedError(f"it announces {channels:,} numbers for each pixel, at most {MOST_CHANNELS:,} are read")
