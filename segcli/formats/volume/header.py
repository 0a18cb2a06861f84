"""What the text header of a volume says, once it has been read and checked: sizes, voxels, place.

NRRD and MetaImage headers are read in modules of their own and end as this. Nothing else reads them, so no other
program's idea of a line or a name can lead to other bytes or files.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from segcli.errors import UnreadableError, UnsupportedError
from segcli.geometry import Geometry, Vector, regular_stack, spans_space

LONGEST = 1 << 20
"""Bytes of the longest header."""

_UNIT = 1e-3
"""How far the length of a direction may be from 1: headers round."""

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_LONGEST_NUMBER = 64
_LARGEST_SIDE = 2**40


@dataclass(frozen=True)
class Packing:
    """How the voxels lie in their file: lines to pass over, then (unpacked) bytes, -1: they are the last ones.

    ``packed_size``: bytes of the deflated stream, None: all there are.
    """

    encoding: Literal["raw", "gzip", "zlib", "text", "hex"]
    skip_lines: int = 0
    skip_bytes: int = 0
    packed_size: int | None = None


@dataclass(frozen=True)
class Place:
    """As stated. ``lengths``: mm of a step along each spatial axis. ``axes``: directions of the three axes, in LPS."""

    lengths: tuple[float, ...] | None = None
    axes: tuple[Vector, Vector, Vector] | None = None
    origin: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class VolumeHeader:
    """``sizes``: column, row, slice, time point, as many as there are. ``components``: numbers of a voxel.

    ``component_axis``: which of the stored axes, the fastest being 0, they are. ``dtype``: as stored. ``data_at``:
    where the header ends. ``companion``: path of the data file relative to the header, None if the data follow it.
    ``lines``: header lines of the geometry alone, for the mask.
    """

    sizes: tuple[int, ...]
    components: int
    component_axis: int
    dtype: np.dtype[Any]
    packing: Packing
    data_at: int
    companion: str | None
    place: Place
    lines: tuple[str, ...]

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Columns, rows, slices, time points."""
        columns, rows, slices, times = (*self.sizes, 1, 1)[:4]
        return columns, rows, slices, times

    @property
    def count(self) -> int:
        """Numbers of all voxels together."""
        return math.prod(self.sizes) * self.components

    def geometry(self, slices: int) -> Geometry:
        """Of the first ``slices`` slices; only what the header states. Raises UnreadableError, UnsupportedError."""
        lengths, axes = self.place.lengths, self.place.axes
        if lengths is not None and not all(0 < length < math.inf for length in lengths[:3]):
            raise UnreadableError("the volume states a spacing that is no positive length: export it again")
        spacing = None if lengths is None else (lengths[1], lengths[0])
        depth = lengths[2] if lengths is not None and len(lengths) > 2 else None
        if len(self.sizes) == 2 or axes is None:
            return Geometry(spacing=spacing, slice_spacing=depth)
        matrix = np.array(axes, dtype=np.float64).T
        origin = np.array(self.place.origin, dtype=np.float64)
        if not spans_space(matrix):
            raise UnreadableError("the volume's directions make no sense: export it again")
        if np.abs(np.linalg.norm(matrix, axis=0) - 1).max() > _UNIT:
            raise UnsupportedError(
                "the volume's directions are no unit vectors, so its spacing is uncertain: resample it"
            )
        return regular_stack(matrix, spacing, depth, origin, slices)


def numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    """``count`` finite numbers between blanks. Raises UnreadableError."""
    words = text.split()
    if len(words) == count and all(len(word) <= _LONGEST_NUMBER and _NUMBER.fullmatch(word) for word in words):
        values = tuple(float(word) for word in words)
        if all(math.isfinite(value) for value in values):
            return values
    raise UnreadableError(f"the {what} header states a geometry that is no numbers: export the volume again")


def whole(text: str, what: str) -> int:
    """A whole number of at most 18 digits, 0 or more. Raises UnreadableError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise UnreadableError(f"the {what} header states a number that makes no sense: export the volume again")
    return int(text)


def sides(text: str, what: str, key: str) -> tuple[int, ...]:
    """The sizes of all axes, each at least 1. Raises UnreadableError."""
    words = text.split()[:17]  # no more than NRRD's 16 axes are looked at
    if not words or not all(word.isascii() and word.isdecimal() and len(word) <= 18 for word in words):
        raise UnreadableError(f"the {what} header states no {key}: export the volume again")
    found = tuple(int(word) for word in words)
    if not all(1 <= side <= _LARGEST_SIDE for side in found):
        raise UnreadableError(f"the {what} header states an axis without voxels: export the volume again")
    return found


def check_axes(count: int) -> None:
    """Raise UnsupportedError for other than two to four axes, components not counted."""
    if not 2 <= count <= 4:
        raise UnsupportedError("the volume has fewer than two or more than four axes: split it first")


def beside(file: str, what: str) -> str:
    """The companion's path if it stays in the header's folder. Raises UnsupportedError."""
    if file.split(" ", maxsplit=1)[0].upper() == "LIST" or "%" in file:
        raise UnsupportedError(f"the {what} volume lies in several data files: save it as one file first")
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file or "\0" in file:
        raise UnsupportedError(f"the {what} header refers to a data file outside its folder: move it beside the header")
    return str(path)


def text_of(line: bytes) -> str:
    """A line of a header; bytes that are no UTF-8 stay what they are, for a file's name may hold any."""
    return os.fsdecode(line)
