"""NRRD and MetaImage (MHA, and MHD with its raw file) by SimpleITK, whose space is ours: Left, Posterior, Superior.

Masks are written here, not by SimpleITK: it multiplies spacing into directions and back, which changes last bits, and
makes up a position where the source states none. Their geometry is the source's own header lines.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its documentation's own name
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.channels import reconcile
from segcli.formats.decoding import check_pixels, decoding, refuse_gzip
from segcli.formats.finite import hide_non_finite
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.itk_headers import Stated, check_meta, check_nrrd, meta_header, meta_mask, nrrd_header, nrrd_mask
from segcli.formats.labels import as_labels, label_type
from segcli.formats.limits import check_slices
from segcli.formats.straight import shear_warnings
from segcli.image import Geometry, Image, LabelMap, Vector

_LEAST = 1e-6
"""Volume of the box of three directions below which they do not span space."""

_UNIT = 1e-3
"""How far the length of a direction may be from 1: headers round."""

_META_KEY = re.compile(rb"^[ \t]*(ObjectType[ \t]*=[ \t]*Image|NDims[ \t]*=[ \t]*\d)", re.MULTILINE)


@dataclass(frozen=True)
class _Volume:
    """``pixels``: ``[time x slice, component, row, column]``. ``axes``: of the file, components not counted."""

    pixels: NDArray[Any]
    geometry: Geometry
    slices: int
    times: int
    axes: int


@dataclass(frozen=True)
class ItkVolume:
    """The :class:`segcli.formats.interface.Format` of one of the two; see the two objects at the end.

    ``what``: word in messages. ``io``: SimpleITK's decoder, forced because names say nothing.
    """

    name: str
    what: str
    io: str
    suffix: str
    header: Callable[[bytes], Stated]
    check: Callable[[Stated, bytes], None]

    def recognises(self, head: bytes) -> bool:
        """NRRD by its magic, MetaImage by the keys its header must begin with."""
        if self.name == "nrrd":
            return head.startswith(b"NRRD000")
        return b"\0" not in head[:32] and _META_KEY.search(head) is not None and b"DimSize" in head

    def mask_name(self, name: str) -> str:
        """The name itself, or with ``.nrrd`` / ``.mha`` appended (``a.mhd`` → ``a.mhd.mha``)."""
        return name if name.lower().endswith(self.suffix) else name + self.suffix

    def describe(self, path: Path) -> Description:
        """Sizes and geometry from the header. ``details["files"]``: the data file beside it, if there is one."""
        with decoding(self.what):
            data = path.read_bytes()
            stated = self._stated(data)
            companions = [] if stated.companion is None else [stated.companion]
            if not all((path.parent / name).is_file() for name in companions):
                raise UnreadableError(f"the data file that belongs to the {self.what} header is missing")
            reader = self._reader(path)
            sides = _sides(reader)
            geometry = _geometry(reader, stated, 1)  # a hostile header may announce any number of slices
        spacing: tuple[float, ...] | None = geometry.spacing
        if spacing is not None and geometry.slice_spacing is not None:
            spacing = (*spacing, geometry.slice_spacing)
        return Description(
            shape=(sides[2] * sides[3], sides[1], sides[0]),
            spacing=spacing,
            orientation=geometry.orientation,
            details={"files": companions},
        )

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """One part per time point (fourth axis), in the stored type; vector components are channels."""
        with decoding(self.what):
            path = case.files[0]
            data = files.read(path)
            stated = self._stated(data)
            payload = data[stated.data_at :] if stated.companion is None else files.read(path.parent / stated.companion)
            volume = self._load(path, stated, payload, request.max_pixels)
            names = tuple(str(number) for number in range(volume.pixels.shape[1]))
            sheared = shear_warnings(volume.geometry, request.spatial_dims)
            pixels, valid, warnings = hide_non_finite(reconcile(volume.pixels, names, request))
        notes = {"lines": list(stated.lines), "axes": volume.axes}
        parts = []
        for time in range(volume.times):
            here = slice(time * volume.slices, (time + 1) * volume.slices)
            parts.append(Image(pixels[here], volume.geometry, None if valid is None else valid[here], notes))
        return ReadResult(tuple(parts), (*sheared, *warnings))

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """A compressed file with the source's own geometry lines; uint8, or uint16 for labels above 255."""
        largest = max(label.value for label in request.card.labels)
        dtype = np.dtype(label_type(max([largest, *(int(mask.pixels.max(initial=0)) for mask in masks)])))
        voxels = b"".join(mask.pixels.astype(dtype.newbyteorder("<")).tobytes() for mask in masks)
        slices, rows, columns = masks[0].pixels.shape
        lines, axes = masks[0].extra.get("lines", ()), int(masks[0].extra.get("axes", 3))
        sizes = (columns, rows, slices, len(masks))[:axes]
        wide = dtype.itemsize == 2
        if self.name == "nrrd":
            target.write_bytes(nrrd_mask(lines, sizes, wide) + gzip.compress(voxels, compresslevel=6, mtime=0))
        else:
            packed = zlib.compress(voxels, 6)
            target.write_bytes(meta_mask(lines, sizes, wide, len(packed)) + packed)

    def read_labels(self, path: Path) -> tuple[LabelMap, ...]:
        """Label numbers, one map per time point. Raises UnsupportedError for vectors and numbers that are no labels."""
        with decoding(f"{self.what} mask"):
            data = path.read_bytes()
            stated = self._stated(data)
            payload = data[stated.data_at :]
            if stated.companion is not None:
                payload = (path.parent / stated.companion).read_bytes()
            volume = self._load(path, stated, payload, None)
            if volume.pixels.shape[1] != 1:
                raise UnsupportedError(f"the {self.what} is no label map: its voxels have several components")
            labels = as_labels(volume.pixels[:, 0])
        count = volume.slices
        return tuple(LabelMap(labels[t * count : (t + 1) * count], volume.geometry) for t in range(volume.times))

    def _stated(self, data: bytes) -> Stated:
        refuse_gzip(data, self.what)
        return self.header(data)

    def _reader(self, path: Path) -> sitk.ImageFileReader:
        """A reader that has read the header only."""
        if not _is_utf8(path):
            raise UnsupportedError("its path is not UTF-8, and SimpleITK opens no other: rename the file or folder")
        sitk.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings quote paths and header values
        reader = sitk.ImageFileReader()
        reader.SetImageIO(self.io)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        return reader

    def _load(self, path: Path, stated: Stated, payload: bytes, limit: int | None) -> _Volume:
        """Raises UnreadableError, UnsupportedError; other exceptions are for ``decoding``."""
        reader = self._reader(path)
        sides = _sides(reader)
        components = reader.GetNumberOfComponents()
        if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()).lower():
            raise UnsupportedError(f"the {self.what} holds complex numbers: convert it to integers or floats first")
        if limit is not None:
            check_slices(sides[2] * sides[3], len(payload), limit)
            check_pixels(math.prod(sides), components, limit)
        self.check(stated, payload)
        array = sitk.GetArrayFromImage(reader.Execute())
        pixels = array.reshape(-1, sides[1], sides[0], components)
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 1))
        return _Volume(pixels, _geometry(reader, stated, sides[2]), sides[2], sides[3], reader.GetDimension())


def _is_utf8(path: Path) -> bool:
    """Of any other name SimpleITK makes a null pointer, and ends the process."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _sides(reader: sitk.ImageFileReader) -> tuple[int, int, int, int]:
    """Columns, rows, slices, time points. Raises UnsupportedError for other numbers of axes."""
    size = [int(side) for side in reader.GetSize()]
    if not 2 <= len(size) <= 4:
        raise UnsupportedError("the volume has fewer than two or more than four axes: split it first")
    columns, rows, slices, times = size + [1] * (4 - len(size))
    return columns, rows, slices, times


def _geometry(reader: sitk.ImageFileReader, stated: Stated, slices: int) -> Geometry:
    """Only what the header states; SimpleITK fills in an identity for the rest."""
    axes = reader.GetDimension()
    if not stated.has_spacing and not stated.has_axes:
        return Geometry()
    lengths = reader.GetSpacing()
    if stated.has_spacing and not all(0 < length < math.inf for length in lengths[:3]):
        raise UnreadableError("the volume states a spacing that is no positive length: export it again")
    spacing = (lengths[1], lengths[0]) if stated.has_spacing else None
    depth = lengths[2] if axes > 2 and stated.has_spacing else None
    if axes == 2 or not stated.has_axes:
        return Geometry(spacing=spacing, slice_spacing=depth)
    matrix = np.asarray(reader.GetDirection(), dtype=np.float64).reshape(axes, axes)[:3, :3]
    origin = np.asarray(reader.GetOrigin(), dtype=np.float64)[:3]
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    norm = np.linalg.norm(normal)
    if not np.isfinite(matrix).all() or norm < _LEAST or abs(np.linalg.det(matrix)) < _LEAST:
        raise UnreadableError("the volume's directions make no sense: export it again")
    if np.abs(np.linalg.norm(matrix, axis=0) - 1).max() > _UNIT:
        raise UnsupportedError("the volume's directions are no unit vectors, so its spacing is uncertain: resample it")
    if depth is not None:
        depth = float(abs(normal @ matrix[:, 2]) / norm) * depth
    step = matrix[:, 2] * lengths[2]
    return Geometry(
        spacing=spacing,
        slice_spacing=depth,
        axes=(_vector(matrix[:, 0]), _vector(matrix[:, 1]), _vector(matrix[:, 2])),
        positions=tuple(_vector(origin + index * step) for index in range(slices)),
    )


def _vector(values: NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


NRRD = ItkVolume("nrrd", "NRRD volume", "NrrdImageIO", ".nrrd", nrrd_header, check_nrrd)
MHA = ItkVolume("mha", "MetaImage", "MetaImageIO", ".mha", meta_header, check_meta)
