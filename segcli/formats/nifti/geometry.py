"""Where a NIfTI volume lies: from its header to our geometry, and from its header to the mask's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError
from segcli.geometry import Geometry, vector

_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""xyzt_units' code of length → mm (0: unknown, taken as mm)."""

_LPS = np.diag([-1.0, -1.0, 1.0])
_COPIED = (
    "dim",
    "pixdim",
    "xyzt_units",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)


def geometry_of(header: Any, slices: int) -> tuple[Geometry, tuple[str, ...]]:
    """(geometry, warnings). sform counts where both are set; without either only pixdim's spacing is known.

    Raises UnsupportedError for a unit of length that NIfTI does not define.
    """
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MM:
        raise UnsupportedError("the NIfTI header states a unit of length that does not exist: correct its xyzt_units")
    factor = _MM[unit]
    sform = _valid(header.get_sform()) if int(header["sform_code"]) > 0 else None
    qform = _qform(header) if int(header["qform_code"]) > 0 else None
    warnings: list[str] = []
    stated = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    if stated and sform is None and qform is None:
        warnings.append("the NIfTI header's affine makes no sense: position and direction count as unknown")
    elif qform is not None and sform is None and int(header["sform_code"]) > 0:
        warnings.append("the NIfTI header's sform makes no sense: the qform counts")
    if sform is not None and qform is not None and not _agree(sform, qform, header):
        warnings.append("the NIfTI header's sform and qform disagree: the sform counts")
    elif sform is not None and not _pixdim_agrees(sform, header):
        warnings.append("the NIfTI header's sform and pixdim state other spacings: the sform counts")
    affine = sform if sform is not None else qform
    if affine is None:
        return _spacing_only(header, slices, factor), tuple(warnings)
    steps = _LPS @ affine[:3, :3] * factor
    origin = _LPS @ affine[:3, 3] * factor
    lengths = np.linalg.norm(steps, axis=0)
    units = steps / lengths
    normal = np.cross(units[:, 0], units[:, 1])
    normal /= np.linalg.norm(normal)
    return Geometry(
        spacing=(float(lengths[1]), float(lengths[0])),
        slice_spacing=float(abs(normal @ steps[:, 2])),
        axes=(vector(units[:, 0]), vector(units[:, 1]), vector(units[:, 2])),
        positions=tuple(vector(origin + index * steps[:, 2]) for index in range(slices)),
    ), tuple(warnings)


def mask_header(header: Any) -> bytes:
    """The binary header of a mask: the geometry fields bit for bit, slope 1, nothing else; its type is set later."""
    mask = type(header)(endianness=header.endianness)
    fields, source = mask.structarr, header.structarr
    for name in _COPIED:
        fields[name] = source[name]
    axes = int(source["dim"][0])
    if axes >= 5:  # a mask has one number per voxel: the axis of vector components goes
        fields["dim"][5:] = 1
        fields["dim"][0] = 4 if int(source["dim"][4]) > 1 else 3
    fields["scl_slope"], fields["scl_inter"] = 1, 0
    fields["magic"] = b"n+1" if int(fields["sizeof_hdr"]) == 348 else b"n+2"
    fields["vox_offset"] = int(fields["sizeof_hdr"]) + 4
    return bytes(mask.binaryblock)


def _qform(header: Any) -> NDArray[np.float64] | None:
    try:
        return _valid(header.get_qform())
    except ValueError:  # nibabel's HeaderDataError among them: a quaternion longer than 1
        return None


def _valid(affine: NDArray[Any]) -> NDArray[np.float64] | None:
    """The affine in float64, or None if it is not invertible."""
    exact = affine.astype(np.float64)
    if not np.isfinite(exact).all():
        return None
    lengths = np.linalg.norm(exact[:3, :3], axis=0)
    if not (lengths > 0).all() or abs(np.linalg.det(exact[:3, :3] / lengths)) < 1e-6:
        return None
    return exact


def _agree(sform: NDArray[np.float64], qform: NDArray[np.float64], header: Any) -> bool:
    """Whether no corner of the volume lies more than a hundredth of a voxel apart."""
    sides = [max(int(side) - 1, 1) for side in header["dim"][1:4]]
    corners = np.array([[i, j, k, 1] for i in (0, sides[0]) for j in (0, sides[1]) for k in (0, sides[2])], dtype=float)
    apart = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    return bool(apart <= 0.01 * np.linalg.norm(sform[:3, :3], axis=0).min())


def _pixdim_agrees(sform: NDArray[np.float64], header: Any) -> bool:
    """Whether the spacings agree within one in a hundred, as far as pixdim states any."""
    stated = np.abs(header["pixdim"][1:4].astype(np.float64))
    known = np.isfinite(stated) & (stated > 0)
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    return bool((np.abs(stated - lengths)[known] <= 0.01 * lengths[known]).all())


def _spacing_only(header: Any, slices: int, factor: float) -> Geometry:
    lengths = [float(length) * factor for length in header["pixdim"][1:4]]
    known = [length if math.isfinite(length) and length > 0 else None for length in lengths]
    columns, rows, depth = known
    spacing = None if rows is None or columns is None else (rows, columns)
    return Geometry(spacing=spacing, slice_spacing=depth if slices > 1 else None)
