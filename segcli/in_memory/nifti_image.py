"""NIfTI images of nibabel, read by the code that reads their files: as bytes that need not lie on a disk."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from segcli.case import Case
from segcli.contract import ModelCard
from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.interface import InputFiles, ReadRequest
from segcli.formats.labels import label_type
from segcli.formats.limits import check_pixels
from segcli.formats.nifti import FORMAT
from segcli.image import LabelMap
from segcli.in_memory.given import Given

_NAME = "image.nii"
_STORABLE = {"b": np.uint8, "f2": np.float32}
"""Kinds of numbers that NIfTI has no code for → what holds each of them exactly."""


class _Bytes(InputFiles):
    """The one file of the image, which lies in memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__(())
        self._data = data

    def read(self, path: Path) -> bytes:
        return self._data


def take_nifti(image: Any, card: ModelCard, request: ReadRequest) -> Given:
    """A ``Nifti1Image`` or ``Nifti2Image``; so is the result, with the same affine. Time points stay time points."""
    data = _as_file(image, request)
    case = Case("", FORMAT.name, _NAME, PurePosixPath(_NAME), (Path(_NAME),))
    result = FORMAT.read(case, request, _Bytes(data))
    kind = nibabel.Nifti1Image if int(image.header["sizeof_hdr"]) == 348 else nibabel.Nifti2Image
    largest = max(label.value for label in card.labels)

    def back(masks: Sequence[LabelMap]) -> Any:
        header = kind.header_class(base64.b64decode(str(masks[0].extra["header"])), check=False)
        dtype = label_type(max([largest, *(int(mask.pixels.max(initial=0)) for mask in masks)]))
        header.set_data_dtype(dtype)
        planes = np.stack([mask.pixels.astype(dtype, copy=False) for mask in masks])  # [time, slice, row, column]
        labels = planes.transpose(3, 2, 1, 0).reshape(header.get_data_shape(), order="F")
        return kind(labels, header.get_best_affine(), header)

    return Given(result.parts, result.warnings, back)


def _as_file(image: Any, request: ReadRequest) -> bytes:
    """The image as an unpacked NIfTI file: numbers as stored, and the scale factors that make intensities of them."""
    sides = (*image.shape, 1, 1, 1, 1)
    check_pixels(int(np.prod(sides[:4])), int(np.prod(sides[4:])), request.max_pixels)
    stored, slope, intercept = _stored(image)
    kind = stored.dtype.kind if stored.dtype.kind == "b" else stored.dtype.str[1:]
    stored = stored.astype(_STORABLE.get(kind, stored.dtype), copy=False)
    header = image.header.copy()
    try:
        if header.get_data_shape() != stored.shape:
            header.set_data_shape(stored.shape)
        header.set_data_dtype(stored.dtype)
    except (HeaderDataError, ValueError) as error:
        raise UnsupportedError(
            f"NIfTI cannot hold an image of {stored.dtype.name} and shape {stored.shape}: convert it first"
        ) from error
    if image.affine is not None and not np.array_equal(header.get_best_affine(), image.affine):
        header.set_sform(
            image.affine, int(header["sform_code"]) or "aligned"
        )  # it was changed since the image was made
    header["scl_slope"], header["scl_inter"] = slope, intercept
    header["magic"] = b"n+1" if int(header["sizeof_hdr"]) == 348 else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = int(header["sizeof_hdr"]) + 4
    voxels = stored.astype(header.get_data_dtype(), copy=False).tobytes(order="F")
    return bytes(header.binaryblock) + b"\0\0\0\0" + voxels


def _stored(image: Any) -> tuple[np.ndarray[Any, Any], float, float]:
    proxy = image.dataobj
    try:
        if nibabel.is_proxy(proxy) and hasattr(proxy, "get_unscaled"):
            return np.asarray(proxy.get_unscaled()), float(proxy.slope), float(proxy.inter)
        return np.asanyarray(proxy), 1.0, 0.0
    except (OSError, ValueError, EOFError) as error:
        raise UnreadableError("the file behind the image cannot be read: it is damaged, or no longer there") from error
