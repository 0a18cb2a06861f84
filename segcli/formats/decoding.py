"""One gate around every decoding library: whatever it raises or warns comes out as one plain line, without its text.

The libraries' own messages are not passed on: they quote header values and paths.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from segcli.errors import SegcliError, UnreadableError, UnsupportedError
from segcli.formats import memory_limit
from segcli.regular_file import NotRegularError

GZIP_MAGIC = b"\x1f\x8b"

_USUAL = 4
"""Bytes of one number where the caller does not say."""

MASK_PIXELS = 500_000_000
"""What a mask may take in memory by its header, as many pixels of four bytes: as an image by default."""

HUNGRY = "it takes more memory than its header accounts for, or than there is"
TOO_MANY_FILES = "too many files are open: raise the limit with ulimit -n"
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
NO_MEMORY = (
    "bad_alloc",
    "memoryerror",
    "out of memory",
    "not enough memory",
    "insufficient memory",
    "allocat",
    "new thread",
)
"""What libraries say, in lower case, where memory is refused to them."""

_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, HUNGRY),
    (NotImplementedError, "a variant that no decoder here reads"),
    (NotRegularError, "it is no regular file any more"),
    (PermissionError, "no permission to read the file"),
    (FileNotFoundError, "a file is missing"),
    (EOFError, "the data end too early"),
)
_TOO_SHORT = ("truncat", "too small", "not enough", "premature", "end of file", "end of stream", "end-of-stream", "eof")
_CHECKSUM = ("checksum", "data check", "crc")


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Run a library's decoder on ``what`` ("PNG", "NIfTI volume", ...).

    Raises UnreadableError for any exception of the library; our own errors pass. Warnings of the library stay inside.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except SegcliError:
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
            cause = error if isinstance(error, OSError) else None  # a full disk must be known as that
            raise UnreadableError(
                f"the {what} cannot be decoded ({_complaint(error)}): repair it or export it again"
            ) from cause


def refuse_gzip(data: bytes, what: str) -> None:
    """Raise UnsupportedError if a file of a format that is never gzipped starts as a gzip stream."""
    if data.startswith(GZIP_MAGIC):
        raise UnsupportedError(f"the {what} is packed with gzip: unpack it first")


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
    memory_limit.allow_pixels(count, channels, itemsize or _USUAL)


def check_mask(count: int, itemsize: int, limit: int) -> None:
    """Raise UnsupportedError if ``count`` numbers of ``itemsize`` bytes take more than ``limit`` pixels of four bytes.

    A reader may take the memory of these numbers from here on.
    """
    held = -(-count * itemsize // _USUAL)
    if held > limit:
        raise UnsupportedError(
            f"the mask takes {count * itemsize:,} bytes, the limit is {limit * _USUAL:,}: crop it or split it"
        )
    memory_limit.allow_pixels(count, 1, itemsize)


def _complaint(error: Exception) -> str:
    """The kind of an exception in plain words; nothing of its own text."""
    for kind, words in _KINDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
        return TOO_MANY_FILES
    text = str(error).lower()
    if any(word in text for word in NO_MEMORY):
        return HUNGRY
    if any(word in text for word in _TOO_SHORT):
        return "the data end too early"
    if any(word in text for word in _CHECKSUM):
        return "a checksum does not match"
    return "its data are damaged"
