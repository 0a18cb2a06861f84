"""TIFF by tifffile and imagecodecs: classic and BigTIFF, OME and ImageJ, pyramids, every compression these decode.

Numbers stay as stored (a 12-bit image holds 0-4095, a 1-bit image 0 and 1), palettes become their 16-bit colours.
The picture is turned as its Orientation tag says, the mask lies in that same frame and carries no such tag.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import UnsupportedError
from segcli.formats.decoding import decoding
from segcli.formats.exif import as_viewed
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.labels import as_labels, label_type
from segcli.formats.limits import MASK_PIXELS, check_mask, check_slices, most_slices
from segcli.formats.pixels import hide_non_finite, reconcile
from segcli.formats.tiff.bands import can_be_banded, in_bands, open_bands
from segcli.formats.tiff.check import check_page
from segcli.formats.tiff.fax import check_strips
from segcli.formats.tiff.layout import Stack, check_stored, layout, ordered
from segcli.formats.tiff.metadata import orientation
from segcli.formats.tiff.opening import opened
from segcli.formats.tiff.samples import intensities
from segcli.formats.tiff.stream import extent
from segcli.formats.tiff.write import MaskPart, write_blocks
from segcli.image import Image, LabelMap
from segcli.regular_file import open_regular

LARGE_FILE = 2**26
"""Bytes of a file from which on its tags are looked at before all of it is read."""

NO_BURDEN = 2**24
"""Pixels up to which it does not matter to a run whether an image is read in bands."""


def describe(path: Path) -> Description:
    """Size of the first stack of pages; spacing where OME or ImageJ state one."""
    with decoding("TIFF"), open_regular(path) as stream, opened(stream, path.name) as tif:
        pages = len(tif.pages)
        size = os.fstat(stream.fileno()).st_size
        if pages > most_slices(size, ReadRequest().max_pixels):  # reading will refuse them, mostly
            return Description(shape=(pages, tif.pages.first.imagelength, tif.pages.first.imagewidth))
        stacks, warnings = layout(tif)
        first = stacks[0]
        shape = (first.times * first.slices, first.rows, first.columns)
        banded = math.prod(shape) > NO_BURDEN and all(can_be_banded(stack) for stack in stacks)
        geometry = first.geometry
    spacing: tuple[float, ...] | None = geometry.spacing
    if spacing is not None and geometry.slice_spacing is not None:
        spacing = (*spacing, geometry.slice_spacing)
    return Description(shape=shape, spacing=spacing, warnings=warnings, banded=banded)


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """One part per stack of equal pages (per time point of an OME or ImageJ volume), in the stored dtype.

    More pixels than ``request.hold_pixels`` are left in the file, where its layout allows
    (:mod:`segcli.formats.tiff.bands`).
    """
    path = case.files[0]
    with decoding("TIFF"):
        large = path.stat().st_size > LARGE_FILE
        if large and (left_open := open_bands(path, request)) is not None:
            return left_open
        data = files.read(path)
        with opened(io.BytesIO(data), path.name) as tif:
            check_slices(len(tif.pages), len(data), request.max_pixels)
            stacks, told = layout(tif)
            if (
                not large
                and in_bands(stacks, len(data), request)
                and (left_open := open_bands(path, request)) is not None
            ):
                return left_open
            return _whole(stacks, len(data), told, request)


def write(target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
    """The same pages, resolution and (OME, ImageJ) sizes; see :mod:`segcli.formats.tiff.write`."""
    largest = max(
        [*(label.value for label in request.card.labels), *(int(mask.pixels.max(initial=0)) for mask in masks)]
    )
    dtype = np.dtype(label_type(largest))
    parts = [MaskPart(extent(mask.pixels.shape), mask.extra) for mask in masks]
    write_blocks(target, parts, dtype, _blocks(masks, parts, dtype))


def read_labels(path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
    """Numbers as stored: palette indices stay indices, MINISWHITE is not turned round.

    Raises UnsupportedError for pages of several channels or of numbers that are no labels.
    """
    found: list[LabelMap] = []
    with decoding("TIFF mask"), open_regular(path) as stream, opened(stream, path.name) as tif:
        stacks, _ = layout(tif)
        for stack in stacks:
            check_stored(stack, os.fstat(stream.fileno()).st_size)
        _check_mask(stacks, max_pixels)
        _check_data(stacks)
        for index, stack in enumerate(stacks):
            planes = _stored(stack)
            if planes.shape[1] != 1:
                raise UnsupportedError("the TIFF is no label map: its pages have several channels")
            labels = as_labels(as_viewed(planes[:, 0], _turn(stack)) if stack.series is not None else planes[:, 0])
            found += [LabelMap(part, stack.geometry, stack.notes(index)) for part in _by_time(labels, stack)]
    return tuple(found)


def _whole(stacks: Sequence[Stack], size: int, told: Sequence[str], request: ReadRequest) -> ReadResult:
    """All parts in memory. Raises if the file is cut off."""
    parts: list[Image] = []
    warnings = [*told, *(warning for stack in stacks for warning in check_stored(stack, size))]
    _check_data(stacks)
    for index, stack in enumerate(stacks):
        images, more = _images(stack, index, request)
        parts += images
        warnings += more
    return ReadResult(tuple(parts), tuple(dict.fromkeys(warnings)))


def _check_mask(stacks: Sequence[Stack], max_pixels: int) -> None:
    """A tile larger than the image is padding that must be decoded all the same."""
    itemsize = max(stack.itemsize for stack in stacks)
    tiles = sum(stack.page.tilewidth * stack.page.tilelength * stack.channels for stack in stacks)
    numbers = sum(stack.times * stack.slices * stack.rows * stack.columns * stack.channels for stack in stacks)
    check_mask(tiles + numbers, itemsize, max_pixels)


def _check_data(stacks: Sequence[Stack]) -> None:
    pages = [page for stack in stacks for page in (stack.pages if stack.series is None else stack.series.pages)]
    check_strips(pages)
    for page in pages:
        check_page(page)


def _images(stack: Stack, index: int, request: ReadRequest) -> tuple[list[Image], tuple[str, ...]]:
    """The parts of one stack."""
    named = stack.by_number(request)
    pixels = _each_page(stack, named) if stack.series is None else _whole_series(stack, named)
    pixels, valid, warnings = hide_non_finite(pixels)
    validity: Sequence[NDArray[np.bool_] | None] = [None] * stack.times
    if valid is not None:
        validity = _by_time(valid, stack)
    extra = stack.notes(index)
    parts = [
        Image(part, stack.geometry, mask, extra) for part, mask in zip(_by_time(pixels, stack), validity, strict=True)
    ]
    return parts, warnings


def _each_page(stack: Stack, request: ReadRequest) -> NDArray[Any]:
    """Page by page into one array, so that no more than one page is held twice."""
    pixels: NDArray[Any] | None = None
    depth = stack.slices // len(stack.pages)
    for number, page in enumerate(stack.pages):
        planes, names = intensities(_page_planes(page), page)
        planes = as_viewed(reconcile(planes, names, request), orientation(page))
        if len(stack.pages) == 1:
            return np.ascontiguousarray(planes)
        if pixels is None:
            pixels = np.empty((stack.slices, *planes.shape[1:]), planes.dtype)
        pixels[number * depth : (number + 1) * depth] = planes
    if pixels is None:
        raise UnsupportedError("the TIFF has no pages")
    return pixels


def _whole_series(stack: Stack, request: ReadRequest) -> NDArray[Any]:
    planes, groups = _series_planes(stack)
    planes, names = intensities(planes, stack.page)
    if groups > 1:
        planes = planes.reshape(-1, groups * planes.shape[1], *planes.shape[2:])
        names = tuple(str(number) for number in range(planes.shape[1]))
    return np.ascontiguousarray(as_viewed(reconcile(planes, names, request), _turn(stack)))


def _stored(stack: Stack) -> NDArray[Any]:
    """``[slice, channel, row, column]`` of the numbers as stored; pages as viewed, series not yet turned."""
    if stack.series is None:
        return np.concatenate([as_viewed(_page_planes(page), orientation(page)) for page in stack.pages])
    planes, groups = _series_planes(stack)
    return planes.reshape(-1, groups * planes.shape[1], *planes.shape[2:])


def _page_planes(page: Any) -> NDArray[Any]:
    """``[slice, sample, row, column]`` of one page; slices are more than one only in volumetric TIFF."""
    return ordered(page.asarray(), page.axes)


def _series_planes(stack: Stack) -> tuple[NDArray[Any], int]:
    """(``[plane, sample, row, column]``, number of channel planes that stand one after the other for each slice)."""
    axes = stack.series.axes
    array = stack.series.asarray()
    groups = array.shape[axes.index("C")] if "C" in axes else 1
    return ordered(array, axes), groups


def _blocks(masks: Sequence[LabelMap], parts: Sequence[MaskPart], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for mask, part in zip(masks, parts, strict=True):
        for plane in mask.pixels:
            for top in range(0, len(plane), part.block_rows):
                yield plane[top : top + part.block_rows].astype(dtype, copy=False)


def _turn(stack: Stack) -> int:
    return orientation(stack.page)


def _by_time(array: NDArray[Any], stack: Stack) -> list[NDArray[Any]]:
    return [array[time * stack.slices : (time + 1) * stack.slices] for time in range(stack.times)]
