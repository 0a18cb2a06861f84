"""The format TIFF; :mod:`segcli.formats.tiff.codec` decodes and encodes, whole or in bands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from segcli.formats.file_format import Codec, FileFormat
from segcli.formats.interface import MaskStream, OpenBands
from segcli.image import BandSource

_MAGIC = (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")
_SUFFIXES = (".tif", ".tiff")


class Tiff(FileFormat):
    """TIFF in, TIFF out."""

    name = "tiff"

    def recognises(self, head: bytes) -> bool:
        """By byte order and version number, classic or big."""
        return head.startswith(_MAGIC)

    def mask_name(self, name: str) -> str:
        """``a.tif``, ``a.TIFF`` and ``a.ome.tif`` stay, ``a.svs`` becomes ``a.svs.tif``."""
        return name if name.lower().endswith(_SUFFIXES) else name + ".tif"

    def codec(self) -> Codec:
        """By tifffile and imagecodecs."""
        from segcli.formats.tiff import codec

        return codec

    def open_stream(self, target: Path, parts: Sequence[BandSource], dtype: np.dtype[Any]) -> MaskStream:
        """The same file as :meth:`write` makes, from bands."""
        from segcli.formats.tiff.stream import open_stream

        return open_stream(target, parts, dtype)

    def open_labels(self, path: Path) -> AbstractContextManager[tuple[OpenBands, ...]]:
        """Numbers as stored, band by band."""
        from segcli.formats.tiff.bands import open_labels

        return open_labels(path)


FORMAT = Tiff()
