"""SimpleITK images. Their space is ours: Left, Posterior, Superior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its documentation's own name

from segcli.errors import UnsupportedError
from segcli.formats.interface import ReadRequest
from segcli.formats.limits import check_pixels
from segcli.formats.pixels import hide_non_finite, reconcile
from segcli.geometry import Geometry, regular_stack, shear_warnings, spans_space
from segcli.image import Image, LabelMap
from segcli.in_memory.given import Given, native, refuse_odd_numbers

NOT_STATED = (
    "the image lies at the origin with pixels of 1 mm, as SimpleITK has it where nobody said otherwise: "
    "if that is not so, SetSpacing first"
)


def take_itk(image: Any, request: ReadRequest) -> Given:
    """Two to four axes, the fourth being time; components of a vector image are channels. So is the result, of one."""
    kind = image.GetPixelIDTypeAsString()
    if "label" in kind.lower():  # SimpleITK ends the process if such an image is asked for its components
        raise UnsupportedError(f"the image holds a {kind}: make an image of it first (sitk.LabelMapToLabel)")
    axes = image.GetDimension()
    if not 2 <= axes <= 4:
        raise UnsupportedError(
            f"an image of {axes} axes is segmented as images of at most three axes and time: split it"
        )
    columns, rows, slices, times = (*image.GetSize(), 1, 1)[:4]
    components = image.GetNumberOfComponentsPerPixel()
    if not (columns and rows and slices and times):
        raise UnsupportedError(f"the image has no pixel: its size is {image.GetSize()}")
    check_pixels(columns * rows * slices * times, components, request.max_pixels)
    try:
        array = sitk.GetArrayFromImage(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UnsupportedError(f"the image holds {kind}: convert it to integers or floats first (sitk.Cast)") from error
    refuse_odd_numbers(array.dtype)
    geometry = _geometry(image, slices)
    warnings = [*shear_warnings(geometry, request.spatial_dims)]
    if _says_nothing(image):
        warnings.append(NOT_STATED)
    planes = np.moveaxis(array.reshape(-1, rows, columns, components), -1, 1)
    pixels = reconcile(native(planes), [str(number) for number in range(components)], request)
    pixels, valid, more = hide_non_finite(pixels)
    parts = []
    for time in range(times):
        here = slice(time * slices, (time + 1) * slices)
        parts.append(Image(pixels[here], geometry, None if valid is None else valid[here]))
    shape = array.shape[:axes]

    def back(masks: Sequence[LabelMap]) -> Any:
        labels = np.concatenate([mask.pixels for mask in masks])
        found = sitk.GetImageFromArray(labels.reshape(shape), isVector=False)
        found.CopyInformation(image)
        return found

    return Given(tuple(parts), (*warnings, *more), back)


def _geometry(image: Any, slices: int) -> Geometry:
    axes, lengths = image.GetDimension(), image.GetSpacing()
    if not all(0 < length < math.inf for length in lengths[:3]):
        raise UnsupportedError("the image states a spacing that is no positive length: correct it first")
    spacing = (lengths[1], lengths[0])
    if axes == 2:
        return Geometry(spacing=spacing)
    matrix = np.asarray(image.GetDirection(), dtype=np.float64).reshape(axes, axes)[:3, :3]
    if not spans_space(matrix):
        raise UnsupportedError("the image's directions do not span space: correct them first")
    origin = np.asarray(image.GetOrigin(), dtype=np.float64)[:3]
    return regular_stack(matrix, spacing, lengths[2], origin, slices)


def _says_nothing(image: Any) -> bool:
    axes = image.GetDimension()
    return bool(
        set(image.GetSpacing()) == {1.0}
        and set(image.GetOrigin()) == {0.0}
        and np.array_equal(np.reshape(image.GetDirection(), (axes, axes)), np.eye(axes))
    )
