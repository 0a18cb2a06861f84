"""One gate around every decoding library: whatever it raises or warns comes out as one plain line, without its text.

The libraries' own messages are not passed on: they quote header values and paths.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from segcli.errors import SegcliError, UnreadableError, UnsupportedError
from segcli.regular_file import NotRegularError

GZIP_MAGIC = b"\x1f\x8b"

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
