"""tifffile opened so that it follows nothing out of the file and tells nothing of what it holds."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from weakref import WeakKeyDictionary

import tifffile

from segcli.errors import UnreadableError
from segcli.formats.decoding import GZIP_MAGIC, refuse_gzip

_LOG = logging.getLogger("tifffile")
_HARMLESS = ("incorrect Strip", "ImageJ series metadata invalid")
"""Errors of tifffile after which nothing is missing, or that are looked at where the layout is read."""

_complaints: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


@contextmanager
def opened(stream: BinaryIO | io.BytesIO, name: str) -> Iterator[Any]:
    """A TiffFile that follows no reference into other files and logs no header values.

    Raises UnsupportedError for a gzip stream.
    """
    refuse_gzip(stream.read(len(GZIP_MAGIC)), "TIFF")
    stream.seek(0)
    handler = _Listener()
    propagate, _LOG.propagate = _LOG.propagate, False
    _LOG.addHandler(handler)
    try:
        with tifffile.TiffFile(stream, name=name, _multifile=False) as tif:
            _complaints[tif] = handler.said
            yield tif
    finally:
        _LOG.removeHandler(handler)
        _LOG.propagate = propagate


def refuse_damaged(tif: Any) -> None:
    """Raise UnreadableError if tifffile has passed over damage in the directories read so far: pages may be missing."""
    if any(not said.rpartition("> ")[2].startswith(_HARMLESS) for said in _complaints.get(tif, ())):
        raise UnreadableError("the TIFF's directory of pages is damaged or cut off: repair it or export it again")


class _Listener(logging.Handler):
    """What tifffile calls an error in the thread at hand."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and len(self.said) < 100:
            self.said.append(record.getMessage())
