"""tifffile opened so that it follows nothing out of the file and tells nothing of what it holds."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import tifffile

from segcli.formats.decoding import GZIP_MAGIC, refuse_gzip


@contextmanager
def opened(stream: BinaryIO | io.BytesIO, name: str) -> Iterator[Any]:
    """A TiffFile that follows no reference into other files and logs no header values.

    Raises UnsupportedError for a gzip stream.
    """
    refuse_gzip(stream.read(len(GZIP_MAGIC)), "TIFF")
    stream.seek(0)
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(stream, name=name, _multifile=False) as tif:
            yield tif
    finally:
        log.setLevel(level)
