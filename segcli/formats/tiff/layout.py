"""Which pages of a TIFF belong together, as what: from the headers alone, no pixel is decoded here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import tifffile
from numpy.typing import NDArray

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.exif import transposes
from segcli.formats.interface import ReadRequest
from segcli.formats.tiff.metadata import Sizes, imagej_sizes, is_calibrated, ome_sizes, orientation, resolution_tags
from segcli.formats.tiff.opening import refuse_damaged
from segcli.formats.tiff.samples import check_page, check_type
from segcli.image import Geometry, Json

PART_TEXT = "segcli label map, part {} of {}"
"""Description of a part's first page in our masks, so that equal neighbours do not run together when read back."""

_PART = re.compile(r"segcli label map, part \d+ of \d+$")
_SLIDES = ("svs", "ndpi", "scn", "bif", "philips", "qpi", "avs")
_CLEARLY = 4
"""How many times the pixels of any other image the tissue of a slide must have to be known as such."""

_PLANES = ("lsm", "stk", "fluoview", "mmstack")
_PYRAMID_WARNING = "the TIFF is a pyramid: only its full resolution is segmented"
_LABELS_WARNING = "the TIFF is a slide file: only its full-resolution image is segmented"


@dataclass(frozen=True)
class Stack:
    """Equal pages that are decoded together; ``times`` parts of ``slices`` slices come out of it.

    ``series`` (tifffile's, with ``axes``) or ``pages``; ``page``: the one whose tags hold for all of a series.
    ``rows`` and ``columns``: as viewed. ``channels``: as stored. ``kind``: ``pages``, ``ome`` or ``imagej``.
    ``along_time``: its slices are points in time, not in space.
    """

    pages: tuple[Any, ...]
    series: Any
    kind: str
    times: int
    slices: int
    rows: int
    columns: int
    channels: int
    sizes: Sizes
    along_time: bool = False

    @property
    def page(self) -> Any:
        """The page whose tags hold for the whole stack."""
        return self.pages[0] if self.series is None else self.series.keyframe

    @property
    def itemsize(self) -> int:
        """Bytes of one number; of a palette's colours two."""
        stored: int = self.page.dtype.itemsize
        return max(stored, 2) if self.page.photometric == tifffile.PHOTOMETRIC.PALETTE else stored

    @property
    def geometry(self) -> Geometry:
        """Spacing as OME or ImageJ state it; a TIFF says nothing of directions."""
        sizes = self.sizes
        spacing = None if sizes.rows is None or sizes.columns is None else (sizes.rows, sizes.columns)
        stacked = self.slices > 1 and not self.along_time
        return Geometry(spacing=spacing, slice_spacing=sizes.slices if stacked else None)

    def by_number(self, request: ReadRequest) -> ReadRequest:
        """The request with a channel that the file names (OME) told by its number."""
        names = self.sizes.channel_names
        return replace(request, channel=str(names.index(request.channel))) if request.channel in names else request

    def notes(self, index: int) -> dict[str, Json]:
        """What the writer wants back of the ``index``-th stack of the file."""
        pages = [self.page] if self.series is not None else self.pages
        resolution = [resolution_tags(page, transposes(orientation(page))) for page in pages]
        return {
            "stack": index,
            "kind": self.kind,
            "along_time": self.along_time,
            "resolution": resolution,
            "sizes": self.sizes.stated or {},
        }


def layout(tif: tifffile.TiffFile) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
    """(stacks in file order, warnings). Raises UnsupportedError or UnreadableError."""
    found = _layout(tif)
    refuse_damaged(tif)
    return found


def _layout(tif: tifffile.TiffFile) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
    if tif.is_ome:
        return _ome(tif)
    if tif.is_imagej:
        return _imagej(tif)
    if any(getattr(tif, f"is_{kind}") for kind in _SLIDES):
        return (_series_stack(_slide(tif), "pages", Sizes()),), (_LABELS_WARNING,)
    if any(getattr(tif, f"is_{kind}") for kind in _PLANES):
        return (_series_stack(tif.series[0], "pages", Sizes()),), ()
    if tif.is_shaped and any("C" in series.axes or series.is_truncated for series in tif.series):
        return tuple(_series_stack(series, "pages", Sizes()) for series in tif.series), ()
    return _plain(list(tif.pages))


def ordered(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """Any axes → ``[plane, sample, row, column]``; planes run over time, other axes, channel (the last the fastest)."""
    outer = sorted((axis for axis in axes if axis not in "CSYX"), key=lambda axis: axis != "T")
    order = [*outer, *(axis for axis in "C" if axis in axes), *(axis for axis in "S" if axis in axes), "Y", "X"]
    array = array.transpose([axes.index(axis) for axis in order])
    samples = array.shape[-3] if "S" in axes else 1
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.reshape(-1, samples, *array.shape[-2:])


def check_stored(stack: Stack, size: int) -> tuple[str, ...]:
    """Whether the file of ``size`` bytes holds what the tags point to; warnings.

    Raises UnreadableError if it is cut off: decoders would hand over zeros or noise for what is missing.
    """
    series = stack.series
    if series is not None and series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise UnreadableError("the TIFF is cut off: its pixel data reach beyond the end of the file")
    sparse = False
    for page in stack.pages if series is None else series.pages:
        if page is None:
            raise UnreadableError("the TIFF announces more planes than it holds: export it again")
        if page.keyframe.samplesperpixel > 1 and page.keyframe.planarconfig not in (1, 2):
            raise UnreadableError("the TIFF does not say how its samples are arranged: export it again")
        if not page.dataoffsets:
            raise UnreadableError("the TIFF has a page without pixel data: export it again")
        if min(len(page.dataoffsets), len(page.databytecounts)) < math.prod(page.keyframe.chunked):
            raise UnreadableError("the TIFF announces more rows or columns than it holds: export it again")
        if page.keyframe.is_tiled and len(page.dataoffsets) > math.prod(page.keyframe.chunked):
            raise UnreadableError("the TIFF holds more tiles than its size explains: export it again")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                raise UnreadableError("the TIFF is cut off: its pixel data reach beyond the end of the file")
            sparse |= not count
    return ("parts of the TIFF are not stored (a sparse file): they are taken as 0",) if sparse else ()


def _ome(tif: tifffile.TiffFile) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
    found = tif.series
    if not found or any(series.kind != "ome" for series in found):
        raise UnsupportedError(
            "the OME-XML refers to other files or does not fit this one: save the image as one OME-TIFF file"
        )
    turned = transposes(orientation(found[0].keyframe))
    sizes = ome_sizes(tif.ome_metadata or "", len(found), turned)
    stacks = tuple(_series_stack(series, "ome", size) for series, size in zip(found, sizes, strict=True))
    return stacks, (_PYRAMID_WARNING,) if any(len(series.levels) > 1 for series in found) else ()


def _imagej(tif: tifffile.TiffFile) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
    if is_calibrated(tif.imagej_metadata or {}):
        raise UnsupportedError("the TIFF states a calibration of its values (ImageJ): save it as 32-bit to apply it")
    if any(series.kind != "imagej" for series in tif.series):
        # tifffile falls back to the directories alone, of which ImageJ writes one for any number of planes.
        if int((tif.imagej_metadata or {}).get("images", 1)) > len(tif.pages):
            raise UnreadableError("the TIFF is cut off: ImageJ's description announces more planes than it holds")
        return _plain(list(tif.pages))
    stacks = []
    for series in tif.series:
        turned = transposes(orientation(series.keyframe))
        sizes = imagej_sizes(tif.imagej_metadata or {}, resolution_tags(series.keyframe, turned))
        stacks.append(_series_stack(series, "imagej", sizes))
    return tuple(stacks), ()


def _slide(tif: tifffile.TiffFile) -> Any:
    """The series of the scanned tissue, which in some files stands behind views of the whole slide."""
    if tif.is_bif:
        raise UnsupportedError("the slide file (BIF) holds overlapping tiles that are not stitched: convert it first")
    scans = sorted((series.levels[0] for series in tif.series), key=_plane_size)
    if len(scans) > 1 and _plane_size(scans[-1]) < _CLEARLY * _plane_size(scans[-2]):
        raise UnsupportedError("the slide file holds several scans of like size: save the one to segment by itself")
    return scans[-1]


def _plane_size(series: Any) -> int:
    extent = dict(zip(series.axes, series.shape, strict=True))
    return int(extent["Y"] * extent["X"])


def _series_stack(series: Any, kind: str, sizes: Sizes) -> Stack:
    extent = dict(zip(series.axes, series.shape, strict=True))
    check_type(series.dtype)
    check_page(series.keyframe)
    rows, columns = extent["Y"], extent["X"]
    if transposes(orientation(series.keyframe)):
        rows, columns = columns, rows
    channels = extent.get("C", 1) * extent.get("S", 1)
    planes = math.prod(size for axis, size in extent.items() if axis not in "CSYX")
    times = extent.get("T", 1)
    along_time = times == planes > 1
    if kind == "pages" or along_time:
        times = 1
    return Stack((), series, kind, times, planes // times, rows, columns, channels, sizes, along_time)


def _plain(pages: Sequence[Any]) -> tuple[tuple[Stack, ...], tuple[str, ...]]:
    """Neighbouring pages of equal size and kind form a stack; reduced-resolution copies and masks are left out."""
    full = [page for page in pages if page.shape and not page.is_reduced and not page.is_mask]
    if any(_hides_more(page) for page in pages):
        raise UnsupportedError("the TIFF shows a preview, its full image lies in a SubIFD (camera raw?): convert it")
    if not full:
        full = [page for page in pages if page.shape]
    if not full:
        raise UnreadableError("the TIFF has no page with pixels: export it again")
    kept = _without_levels(full)
    stacks = tuple(_page_stack(group) for group in _groups(kept))
    reduced = len(kept) < len(pages) or any(page.subifds for page in kept)
    return stacks, (_PYRAMID_WARNING,) if reduced else ()


def _hides_more(page: Any) -> bool:
    """Whether a page of a SubIFD is larger than the page itself."""
    below = page.pages if page.subifds else None
    return below is not None and any(
        sub.imagelength * sub.imagewidth > page.imagelength * page.imagewidth for sub in below
    )


def _without_levels(pages: Sequence[Any]) -> list[Any]:
    """Drop tiled pages that repeat the tiled page before them at 1/2, 1/3 or 1/4 of its size: unmarked levels."""
    kept: list[Any] = []
    level: Any = None
    for page in pages:
        if level is not None and not _PART.match(page.description) and _halves(level, page):
            level = page
            continue
        kept.append(page)
        level = page
    return kept


def _halves(large: Any, small: Any) -> bool:
    if not (large.is_tiled and small.is_tiled):
        return False
    if (large.dtype, large.samplesperpixel, large.photometric) != (
        small.dtype,
        small.samplesperpixel,
        small.photometric,
    ):
        return False
    sides = ((large.imagelength, small.imagelength), (large.imagewidth, small.imagewidth))
    return any(all(b in (a // f, -(-a // f)) for a, b in sides) for f in (2, 3, 4))


def _groups(pages: Iterable[Any]) -> list[tuple[Any, ...]]:
    part = 0
    keyed = []
    for page in pages:
        if _PART.match(page.description):
            part += 1
        keyed.append(((part, *_key(page)), page))
    return [tuple(page for _, page in group) for _, group in groupby(keyed, key=lambda item: item[0])]


def _key(page: Any) -> tuple[Any, ...]:
    rows, columns = page.imagelength, page.imagewidth
    if transposes(orientation(page)):
        rows, columns = columns, rows
    return rows, columns, page.imagedepth, page.samplesperpixel, page.dtype, page.photometric, page.extrasamples


def _page_stack(pages: tuple[Any, ...]) -> Stack:
    first = pages[0]
    check_page(first)
    rows, columns, depth, *_ = _key(first)
    channels = 3 if first.photometric == tifffile.PHOTOMETRIC.PALETTE else first.samplesperpixel
    return Stack(pages, None, "pages", 1, depth * len(pages), rows, columns, channels, Sizes())
