"""TIFF masks: the pages of the source, tiled and deflated, plain label numbers as grey values.

Plain grey (not a palette) because every TIFF reader hands these numbers over unchanged. Tiles go to the file one row of
them after another, so that neither masks nor file need ever be in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segcli.formats.tiff.layout import PART_TEXT
from segcli.image import Json

BIG = 2**32 - 2**26
"""Uncompressed bytes from which on a classic TIFF might not do (deflate can grow what it cannot shrink)."""

_TILE = 256
_COMPRESSED_AT_ONCE = 2**23
"""Bytes of tiles that are compressed side by side."""

_UNIQUE_BY_CONTENT = "00000000-0000-0000-0000-000000000000"
"""OME wants a UUID; a random one would make equal masks differ."""


@dataclass(frozen=True)
class MaskPart:
    """The mask of one part before its first label is known: slices, rows, columns, and the notes of its image."""

    shape: tuple[int, int, int]
    extra: Mapping[str, Json]

    @property
    def block_rows(self) -> int:
        """Rows of one block: of a row of tiles."""
        return _side(self.shape[1])


def write_blocks(target: Path, parts: Sequence[MaskPart], dtype: np.dtype[Any], blocks: Iterator[NDArray[Any]]) -> None:
    """Write all parts; their ``extra`` is what :mod:`segcli.formats.tiff.layout` gave the images.

    ``blocks``: ``[row, column]`` of ``dtype``, part by part, slice by slice, ``block_rows`` rows each (the last of a
    slice: what is left). Raises OSError if the file cannot be written, and whatever ``blocks`` raises.
    """
    stacks = [list(group) for _, group in groupby(parts, key=lambda part: part.extra.get("stack", 0))]
    kinds = {str(part.extra.get("kind", "pages")) for part in parts}
    kind = kinds.pop() if len(kinds) == 1 else "pages"
    big = sum(math.prod(part.shape) for part in parts) * dtype.itemsize > BIG
    if kind == "imagej" and (big or len(stacks) > 1):
        kind = "pages"  # ImageJ's description knows neither BigTIFF nor several stacks
    with tifffile.TiffWriter(target, bigtiff=big, ome=kind == "ome", imagej=kind == "imagej") as writer:
        for number, stack in enumerate(stacks, start=1):
            file = _Pages(writer, blocks, dtype)
            if kind == "pages":
                file.write_pages(stack, PART_TEXT.format(number, len(stacks)))
            else:
                file.write_series(stack, ome=kind == "ome")


@dataclass(frozen=True)
class _Pages:
    writer: Any
    blocks: Iterator[NDArray[Any]]
    dtype: np.dtype[Any]

    def write_series(self, stack: Sequence[MaskPart], ome: bool) -> None:
        """The parts of a stack (its points in time) as one OME or ImageJ image."""
        extra, (slices, rows, columns) = stack[0].extra, stack[0].shape
        outer = (slices, len(stack)) if extra.get("along_time") else (len(stack), slices)
        metadata: dict[str, Json] = {"axes": "TZYX" if ome else "TZCYX", **extra.get("sizes", {})}
        if ome:
            metadata |= {"UUID": _UNIQUE_BY_CONTENT, "Creator": "segcli"}
        self._write(
            (*outer, rows, columns) if ome else (*outer, 1, rows, columns),
            extra.get("resolution", [None])[0],
            metadata=metadata,
        )

    def write_pages(self, stack: Sequence[MaskPart], text: str) -> None:
        extra, (_, rows, columns) = stack[0].extra, stack[0].shape
        count = sum(part.shape[0] for part in stack)
        resolutions = extra.get("resolution") or [None]
        per_page = -(-count // len(resolutions))  # a volumetric page holds several slices
        for index in range(count):
            self._write(
                (rows, columns),
                resolutions[index // per_page],
                metadata=None,
                description=text if index == 0 else None,
            )

    def _write(self, shape: tuple[int, ...], resolution: Json, **options: Any) -> None:
        *outer, rows, columns = shape
        tile = (_side(rows), _side(columns))
        if resolution is not None:
            x, y, unit = resolution
            options |= {"resolution": (tuple(x), tuple(y)), "resolutionunit": unit}
        self.writer.write(
            self._tiles(math.prod(outer) * -(-rows // tile[0]), columns, tile[1]),
            shape=shape,
            dtype=self.dtype,
            tile=tile,
            photometric="minisblack",
            compression="zlib",
            software="segcli",
            buffersize=_COMPRESSED_AT_ONCE,
            **options,
        )

    def _tiles(self, count: int, columns: int, width: int) -> Iterator[NDArray[Any]]:
        for _ in range(count):
            block = next(self.blocks)
            for left in range(0, columns, width):
                yield block[:, left : left + width]


def _side(length: int) -> int:
    """Of a tile: a multiple of 16, as TIFF 6.0 wants it."""
    return min(_TILE, -(-length // 16) * 16)
