"""TIFF masks: the pages of the source, tiled and deflated, plain label numbers as grey values.

Plain grey (not a palette) because every TIFF reader hands these numbers over unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segcli.formats.labels import label_type
from segcli.formats.tiff_layout import PART_TEXT
from segcli.image import Json, LabelMap

BIG = 2**32 - 2**26
"""Uncompressed bytes from which on a classic TIFF might not do (deflate can grow what it cannot shrink)."""

_TILE = 256
_UNIQUE_BY_CONTENT = "00000000-0000-0000-0000-000000000000"
"""OME wants a UUID; a random one would make equal masks differ."""


def write_mask(target: Path, masks: Sequence[LabelMap], largest_label: int) -> None:
    """Write all parts; their ``extra`` is what :mod:`segcli.formats.tiff_layout` gave the images.

    ``largest_label``: of the card, decides between uint8 and uint16. Raises OSError if the file cannot be written.
    """
    dtype = label_type(max([largest_label, *(int(mask.pixels.max(initial=0)) for mask in masks)]))
    stacks = [list(group) for _, group in groupby(masks, key=lambda mask: mask.extra.get("stack", 0))]
    kinds = {str(mask.extra.get("kind", "pages")) for mask in masks}
    kind = kinds.pop() if len(kinds) == 1 else "pages"
    size = sum(mask.pixels.size for mask in masks) * np.dtype(dtype).itemsize
    big = size > BIG
    if kind == "imagej" and (big or len(stacks) > 1):
        kind = "pages"  # ImageJ's description knows neither BigTIFF nor several stacks
    with tifffile.TiffWriter(target, bigtiff=big, ome=kind == "ome", imagej=kind == "imagej") as writer:
        for number, stack in enumerate(stacks, start=1):
            pixels = np.stack([mask.pixels for mask in stack]).astype(dtype, copy=False)
            extra = stack[0].extra
            if kind == "pages":
                _write_pages(
                    writer, pixels.reshape(-1, *pixels.shape[-2:]), extra, PART_TEXT.format(number, len(stacks))
                )
            else:
                _write_series(writer, pixels, extra, ome=kind == "ome")


def _write_series(writer: Any, pixels: NDArray[Any], extra: Any, ome: bool) -> None:
    """``[time, slice, row, column]`` as one OME or ImageJ image."""
    if extra.get("along_time"):
        pixels = pixels.swapaxes(0, 1)
    metadata: dict[str, Json] = {"axes": "TZYX", **extra.get("sizes", {})}
    if ome:
        metadata |= {"UUID": _UNIQUE_BY_CONTENT, "Creator": "segcli"}
    writer.write(
        pixels if ome else pixels[:, :, np.newaxis],
        metadata=metadata if ome else metadata | {"axes": "TZCYX"},
        **_options(pixels, extra.get("resolution", [None])[0]),
    )


def _write_pages(writer: Any, pages: NDArray[Any], extra: Any, text: str) -> None:
    resolutions = extra.get("resolution") or [None]
    per_page = -(-len(pages) // len(resolutions))  # a volumetric page holds several slices
    for index, page in enumerate(pages):
        writer.write(
            page,
            metadata=None,
            description=text if index == 0 else None,
            **_options(page, resolutions[index // per_page]),
        )


def _options(pixels: NDArray[Any], resolution: Json) -> dict[str, Any]:
    rows, columns = pixels.shape[-2:]
    options: dict[str, Any] = {
        "photometric": "minisblack",
        "compression": "zlib",
        "tile": (min(_TILE, -(-rows // 16) * 16), min(_TILE, -(-columns // 16) * 16)),
        "software": "segcli",
    }
    if resolution is not None:
        x, y, unit = resolution
        options |= {"resolution": (tuple(x), tuple(y)), "resolutionunit": unit}
    return options
