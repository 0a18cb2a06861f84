"""NIfTI-1 and NIfTI-2 by nibabel, plain or gzipped. The mask's header is the source's geometry, bit for bit.

NIfTI's x runs to the patient's Right and its y to Anterior: both are negated to reach our Left-Posterior-Superior. A
column of ours is NIfTI's first axis, a row its second, a slice its third; time points are parts, a fifth axis channels.
"""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.decoding import GZIP_MAGIC, decoding
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.labels import as_labels, label_type
from segcli.formats.limits import MASK_PIXELS, check_channels, check_mask, check_pixels, check_slices
from segcli.formats.nifti.geometry import geometry_of, mask_header
from segcli.formats.pixels import RGB, drop_opaque_alpha, hide_non_finite, reconcile
from segcli.formats.unpack import SURPLUS, unpack, unpack_start
from segcli.geometry import shear_warnings
from segcli.image import Geometry, Image, LabelMap
from segcli.regular_file import open_regular, read_regular

_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_LONGEST_HEADER = 540
_START = 1 << 16
"""Bytes of a file in which its header stands, packed or not."""

_FARTHEST_PACKED = 1 << 26
"""How far behind the header of a packed file its voxels may begin; extensions stand between, and are passed over."""


@dataclass(frozen=True)
class _Layout:
    """Sizes of a volume: NIfTI's first three axes, time points, vector components."""

    columns: int
    rows: int
    slices: int
    times: int
    components: int

    @property
    def voxels(self) -> int:
        """Pixels of all time points, whatever the number of components."""
        return self.columns * self.rows * self.slices * self.times


def describe(path: Path) -> Description:
    """Sizes and geometry from the header; of a gzipped file only the start is unpacked."""
    with decoding("NIfTI volume"):
        with open_regular(path) as stream:
            head = stream.read(_START)
        header = _header(unpack_start(head, _LONGEST_HEADER) if head.startswith(GZIP_MAGIC) else head)
        layout = _layout(header)
        # A hostile header may announce 2**40 slices: two tell as much as all of them.
        geometry, warnings = geometry_of(header, min(layout.slices, 2))
    spacing: tuple[float, ...] | None = geometry.spacing
    if spacing is not None and geometry.slice_spacing is not None:
        spacing = (*spacing, geometry.slice_spacing)
    shape = (layout.slices * layout.times, layout.rows, layout.columns)
    return Description(shape=shape, spacing=spacing, orientation=geometry.orientation, warnings=warnings)


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """One part per time point; the stored type, or float32 (float64 for large integers) where it is rescaled.

    With ``request.strict`` a warning about the geometry is an UnsupportedError.
    """
    with decoding("NIfTI volume"):
        header, pixels, layout = _load(files.read(case.files[0]), request.max_pixels)
        geometry, warnings = geometry_of(header, layout.slices)
        warnings = (*warnings, *shear_warnings(geometry, request.spatial_dims))
        if warnings and request.strict:
            raise UnsupportedError(f"{warnings[0]} (--strict)")
        pixels, names = _channels(_rescaled(pixels, header))
        pixels = reconcile(pixels, names, request)
        pixels, valid, more = hide_non_finite(pixels)
        template = base64.b64encode(mask_header(header)).decode("ascii")
    parts = _parts(pixels, valid, geometry, layout, template)
    return ReadResult(parts, (*warnings, *more))


def write(target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
    """The source's dim, pixdim, qform, sform, codes and units; slope 1, no text, no extension. Gzipped by name."""
    largest = max(label.value for label in request.card.labels)
    dtype = np.dtype(label_type(max([largest, *(int(mask.pixels.max(initial=0)) for mask in masks)])))
    header = _header(base64.b64decode(str(masks[0].extra["header"])))
    header.set_data_dtype(dtype)
    order = header.endianness
    voxels = b"".join(mask.pixels.astype(dtype.newbyteorder(order)).tobytes() for mask in masks)
    data = header.binaryblock + b"\0\0\0\0" + voxels
    if case.output.name.lower().endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)
    target.write_bytes(data)


def read_labels(path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
    """Label numbers, one map per time point; a scale factor other than 1 is applied. Raises UnsupportedError."""
    with decoding("NIfTI mask"):
        header, pixels, layout = _load(read_regular(path), max_pixels, is_mask=True)
        geometry, _ = geometry_of(header, layout.slices)
        pixels = _rescaled(pixels, header)
        if pixels.dtype.names is not None or layout.components > 1:
            raise UnsupportedError("the NIfTI file is no label map: its voxels have several components")
        labels = as_labels(pixels[:, 0])
    count = layout.slices
    return tuple(LabelMap(labels[t * count : (t + 1) * count], geometry) for t in range(layout.times))


def _parts(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, geometry: Geometry, layout: _Layout, template: str
) -> tuple[Image, ...]:
    """``[time x slice, channel, row, column]`` → one image per time point."""
    parts = []
    for time in range(layout.times):
        here = slice(time * layout.slices, (time + 1) * layout.slices)
        parts.append(Image(pixels[here], geometry, None if valid is None else valid[here], {"header": template}))
    return tuple(parts)


def _header_size(head: bytes) -> int:
    """348 or 540 as either byte order states it; 0 for anything else."""
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    return next(iter(sizes & _HEADERS.keys()), 0)


def _header(head: bytes) -> Any:
    """The header object. Raises UnreadableError or UnsupportedError."""
    size = _header_size(head)
    if not size or len(head) < size:
        raise UnreadableError("the NIfTI file has no complete header: export it again")
    header = _HEADERS[size](head[:size], check=False)
    if header["magic"].item() in (b"ni1", b"ni2"):
        raise UnsupportedError("the NIfTI volume is a pair of .hdr and .img: convert it to one .nii file first")
    return header


def _layout(header: Any) -> _Layout:
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise UnreadableError("the NIfTI header states no valid number of axes: export the volume again")
    sides = [int(side) for side in header["dim"][1 : count + 1]] + [1] * (7 - count)
    if any(side < 1 for side in sides):
        raise UnreadableError("the NIfTI header states an axis without voxels: export the volume again")
    if sides[5] * sides[6] > 1:
        raise UnsupportedError("the NIfTI volume has more than five axes: split it first")
    return _Layout(sides[0], sides[1], sides[2], sides[3], sides[4])


def _load(data: bytes, limit: int, is_mask: bool = False) -> tuple[Any, NDArray[Any], _Layout]:
    """(header, ``[time x slice, component, row, column]`` as stored, sizes). Nothing is unpacked beyond what it states.

    Raises UnreadableError, UnsupportedError; other exceptions are for :func:`segcli.formats.decoding.decoding`.
    """
    packed = data.startswith(GZIP_MAGIC)
    header = _header(unpack_start(data, _LONGEST_HEADER) if packed else data[:_LONGEST_HEADER])
    layout = _layout(header)
    dtype = header.get_data_dtype()
    plain = dtype.names is not None or (dtype.kind in "uif" and 1 <= dtype.itemsize <= 8)
    if not plain:
        raise UnsupportedError(f"the NIfTI volume holds {_kind(dtype)}: convert it to integers or floats first")
    check_channels(layout.components)
    if is_mask:
        check_mask(layout.voxels * layout.components, dtype.itemsize, limit)
    else:
        check_slices(layout.slices * layout.times, len(data), limit)
        check_pixels(layout.voxels, layout.components, limit, itemsize=dtype.itemsize)
    offset = float(header["vox_offset"])
    start = int(header["sizeof_hdr"]) + 4  # behind the four bytes that say whether extensions follow
    if not math.isfinite(offset) or not start <= offset <= (_FARTHEST_PACKED if packed else 2**31):
        raise UnreadableError("the NIfTI header states no valid place of the voxels: export the volume again")
    start = int(offset)
    count = layout.voxels * layout.components
    if packed:
        unpacked, ended = unpack(data, count * dtype.itemsize, skip=start)
        voxels = unpacked.view(dtype)
    elif len(data) < start + count * dtype.itemsize:
        raise UnreadableError("the NIfTI file is cut off: it holds fewer voxels than its header states")
    else:
        voxels, ended = np.frombuffer(data, dtype, count, start), len(data) == start + count * dtype.itemsize
    if not ended:
        raise UnreadableError(f"the NIfTI file holds more data than its header states: {SURPLUS}")
    shape = (layout.components, layout.times, layout.slices, layout.rows, layout.columns)
    planes = voxels.reshape(shape).transpose(1, 2, 0, 3, 4)
    pixels = planes.reshape(-1, layout.components, layout.rows, layout.columns)
    return header, pixels.astype(dtype.newbyteorder("="), copy=False), layout


def _rescaled(pixels: NDArray[Any], header: Any) -> NDArray[Any]:
    """``slope x number + intercept``, computed in float64 slice by slice and rounded once."""
    if math.isinf(header["scl_slope"]):
        raise UnreadableError("the NIfTI header states an infinite scale factor: export the volume again")
    slope, intercept = header.get_slope_inter()
    if slope is None or pixels.dtype.names is not None or (slope, intercept) == (1, 0):
        return pixels
    exact = pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2
    exact |= pixels.dtype.kind == "f" and pixels.dtype.itemsize <= 4
    out = np.empty(pixels.shape, np.float32 if exact else np.float64)
    for index, plane in enumerate(pixels):
        out[index] = plane.astype(np.float64) * float(slope) + float(intercept)
    return out


def _channels(pixels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Vector components, or the fields of an RGB or RGBA type, as channels with names."""
    if pixels.dtype.names is None:
        count = pixels.shape[1]
        return pixels, tuple(str(number) for number in range(count))
    if pixels.shape[1] != 1:
        raise UnsupportedError("the NIfTI volume holds vectors of colours: split it first")
    colors = np.concatenate([pixels[name] for name in pixels.dtype.names], axis=1)
    if len(pixels.dtype.names) == 4:
        colors = drop_opaque_alpha(colors, 255)
    return colors, RGB


def _kind(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "c":
        return "complex numbers"
    return "128-bit floats" if dtype.kind == "f" else "voxels of an unknown type"
