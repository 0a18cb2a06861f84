"""A case → its intensities as one image, file by file, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import SegcliError, UnreadableError, UnsupportedError
from segcli.formats import memory_limit
from segcli.formats.dicom import intensity, kinds, values
from segcli.formats.dicom.assembly import Assembly
from segcli.formats.dicom.damage import unlike_neighbours
from segcli.formats.dicom.data_set import HEADER_LIMIT, Opened, open_whole
from segcli.formats.dicom.decode import FrameReader, frame_reader
from segcli.formats.dicom.layout import Layout, layout_of
from segcli.formats.dicom.parallel import Workers
from segcli.formats.dicom.quiet import quiet
from segcli.formats.dicom.space import NO_SPACING, is_in_space
from segcli.formats.interface import InputFiles, ReadRequest, ReadResult
from segcli.formats.limits import check_slices
from segcli.formats.pixels import RGB, hide_non_finite, reconcile
from segcli.image import Geometry, Image

_KEYWORDS = (
    *("SpecificCharacterSet", "SOPInstanceUID", "Modality", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "FloatPixelPaddingValue"),
    *("FloatPixelPaddingRangeLimit", "RescaleSlope", "RealWorldValueMappingSequence", "ModalityLUTSequence"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData"),
    *("SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData", "FloatPixelData", "DoubleFloatPixelData"),
)
TAGS = values.tags_of(_KEYWORDS)

_QUICK = kinds.NATIVE - {kinds.DEFLATED}
_CHANGED = "a file is no longer what it was when the folder was scanned: run again"
_BYTES_A_PIXEL = 32
"""No layout we read needs more; bounds what a deflated file may inflate to."""


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """Pixels ``[slice, channel, row, column]`` of a DICOM case, slices in the order of the case.

    Integers stay exact where the rescale is a whole shift; else float32. Raises UnsupportedError where the request
    forbids what the stack is (gaps, 3-D), UnreadableError where a file is damaged or no longer what was scanned.
    """
    _check_policy(case, request)
    slices, rows, columns = len(case.details["slices"]), case.details["rows"], case.details["columns"]
    frames = sum(frames for *_, frames, _ in case.details["instances"])  # of other cases too: all are work
    check_slices(frames, sum(path.stat().st_size for path in case.files), request.max_pixels)
    if slices * rows * columns > request.max_pixels:
        raise UnsupportedError(f"{slices} x {rows} x {columns} pixels are more than --max-pixels {request.max_pixels}")
    memory_limit.allow_pixels(slices * rows * columns, 1, 4)
    stack = _Stack(case)
    with quiet() as notes, Workers() as workers:
        for index, path in enumerate(case.files):
            stack.take_file(index, files.read(path), workers)
    pixels, valid = stack.result()
    pixels, finite, warnings = hide_non_finite(pixels)
    if finite is not None:
        valid = finite if valid is None else valid & finite
    names = RGB if pixels.shape[1] == 3 else ("grey",)
    image = Image(
        pixels=reconcile(pixels, names, request),
        geometry=Geometry.from_json(case.details["geometry"]),
        valid=valid,
    )
    notes = [f"odd header value: {note}" for note in notes]
    return ReadResult((image,), (*notes, *warnings, *_looks(case, pixels)))


def _looks(case: Case, pixels: NDArray[Any]) -> list[str]:
    """What is to be told of slices that may be damaged: only compressed data can be without an error."""
    if case.details["geometry"]["positions"] is None or not _is_compressed(case):
        return []
    odd = unlike_neighbours(pixels)
    if not odd:
        return []
    places = ", ".join(map(str, odd[:5])) + (", ..." if len(odd) > 5 else "")
    return [f"slice(s) {places} differ from both neighbours as damaged data would: look at them"]


def _is_compressed(case: Case) -> bool:
    return any(syntax not in kinds.NATIVE for *_, syntax in case.details["instances"])


def _check_policy(case: Case, request: ReadRequest) -> None:
    irregular: list[str] = case.details["irregular"]
    if irregular and (request.gaps == "error" or request.strict):
        raise UnsupportedError(f"{irregular[0]} (refused by {'--strict' if request.strict else '--gaps error'})")
    if request.strict and case.details["unsure"]:
        raise UnsupportedError(f"{case.details['unsure'][0]} (refused by --strict)")
    if is_in_space(case) and case.details["geometry"]["spacing"] is None and request.spacing is None:
        raise UnsupportedError(NO_SPACING)
    if request.spatial_dims == 3 and case.details["geometry"]["positions"] is None:
        raise UnsupportedError("images without position are no volume: a 3-D model cannot take them; use a 2-D model")
    if request.spatial_dims == 3 and irregular:
        raise UnsupportedError(f"{irregular[0]}: a 3-D model needs a straight stack of even slices; use a 2-D model")


class _Stack:
    """Files of a case → slices in their places."""

    def __init__(self, case: Case) -> None:
        self._details = case.details
        self._files = len(case.files)
        self._assembly = Assembly(len(case.details["slices"]), case.details["dtype"])
        self._slices: dict[int, list[tuple[int, int]]] = {}
        for place, (file, number) in enumerate(case.details["slices"]):
            self._slices.setdefault(file, []).append((place, number))

    def result(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        return self._assembly.result()

    def take_file(self, index: int, data: bytes, workers: Workers) -> None:
        """Native files at once, for a thread would only add to it; compressed ones by the workers."""
        frames, syntax = self._details["instances"][index][2:]
        if syntax in _QUICK:
            self._open(index, data, None)
        elif frames == 1:
            workers.submit(self._open, index, data, None)
        else:
            self._open(index, data, workers)

    def _open(self, index: int, data: bytes, workers: Workers | None) -> None:
        with self._telling(index):
            _, instance, frames, _ = self._details["instances"][index]
            rows, columns = self._details["rows"], self._details["columns"]
            opened = open_whole(data, HEADER_LIMIT + rows * columns * frames * _BYTES_A_PIXEL, TAGS)
            layout = self._checked_layout(opened, instance, frames)
            read_frame = frame_reader(opened, layout)
        for place, number in self._slices[index]:
            frame = max(0, number - 1)
            if workers is None:
                self._take_frame(place, frame, read_frame, opened, layout)
            else:
                workers.submit(self._take_frame, place, frame, read_frame, opened, layout)

    def _take_frame(self, place: int, frame: int, read: FrameReader, opened: Opened, layout: Layout) -> None:
        with self._telling(self._details["slices"][place][0], place):
            stored, ybr = read(frame)
            if layout.colour:
                self._assembly.put(place, intensity.to_rgb(stored, ybr, opened.data_set, layout))
                return
            valid = intensity.valid_pixels(stored, opened.data_set, layout)
            if valid is not None:
                self._assembly.put_valid(place, valid)
            self._put_grey(stored, place, opened, layout)

    def _put_grey(self, stored: NDArray[Any], place: int, opened: Opened, layout: Layout) -> None:
        if opened.pixels == "PixelData" and intensity.is_inverted(opened.data_set, layout):
            stored = intensity.inverted(stored, layout)
        table = values.item(opened.data_set, "ModalityLUTSequence")
        if table is not None:
            mapped = intensity.through_modality_lut(stored, table, opened.syntax != kinds.EXPLICIT_BIG)
            self._assembly.put(place, mapped[np.newaxis])
            return
        slope, intercept = self._details["rescale"][place]
        dtype = np.dtype(self._details["dtype"] or np.float32)
        if dtype.kind in "iu":
            self._assembly.put_whole(place, stored, int(intercept))
        else:
            self._assembly.put(place, intensity.rescaled(stored, slope, intercept, dtype)[np.newaxis])

    def _checked_layout(self, opened: Opened, instance: str, frames: int) -> Layout:
        if opened.pixels is None:
            # pydicom gives up all elements where compressed pixels do not end
            same = values.text(opened.data_set, "SOPInstanceUID") in (instance, None)
            raise UnreadableError("the file ends inside its pixel data: it was cut short" if same else _CHANGED)
        layout = layout_of(opened.data_set, opened.pixels)
        found = (values.text(opened.data_set, "SOPInstanceUID"), layout.rows, layout.columns, layout.frames)
        if found != (instance, self._details["rows"], self._details["columns"], frames):
            raise UnreadableError(_CHANGED)
        return layout

    @contextmanager
    def _telling(self, index: int, place: int | None = None) -> Iterator[None]:
        """Which slice it was; of a library's own error only the kind, for its text may quote values."""
        try:
            yield
        except UnreadableError as error:
            where = "" if place is None else f"slice {place + 1} of {len(self._details['slices'])}: "
            raise UnreadableError(f"{where}{error}") from None
        except (SegcliError, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - any library error on damaged bytes
            raise UnreadableError(f"file {index + 1} of {self._files} is damaged ({type(error).__name__})") from None
