"""A case → its intensities as one image, file by file, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword

from segcli.case import Case
from segcli.errors import SegcliError, UnreadableError, UnsupportedError
from segcli.formats.channels import RGB, reconcile
from segcli.formats.dicom import intensity, kinds, values
from segcli.formats.dicom.data_set import HEADER_LIMIT, Opened, open_whole
from segcli.formats.dicom.decode import frame_reader
from segcli.formats.dicom.layout import Layout, layout_of
from segcli.formats.dicom.quiet import quiet
from segcli.formats.interface import InputFiles, ReadRequest, ReadResult
from segcli.image import Geometry, Image, Json

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
TAGS = sorted({tag for tag in map(tag_for_keyword, _KEYWORDS) if tag is not None})

_BYTES_A_PIXEL = 32
"""No layout we read needs more; bounds what a deflated file may inflate to."""


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """Pixels ``[slice, channel, row, column]`` of a DICOM case, slices in the order of the case.

    Integers stay exact where the rescale is a whole shift; else float32. Raises UnsupportedError where the request
    forbids what the stack is (gaps, 3-D), UnreadableError where a file is damaged or no longer what was scanned.
    """
    _check_policy(case, request)
    slices, rows, columns = len(case.details["slices"]), case.details["rows"], case.details["columns"]
    if slices * rows * columns > request.max_pixels:
        raise UnsupportedError(f"{slices} x {rows} x {columns} pixels are more than --max-pixels {request.max_pixels}")
    stack = _Stack(case)
    with quiet() as notes:
        for index, path in enumerate(case.files):
            try:
                stack.take_file(index, files.read(path))
            except (SegcliError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - any library error on damaged bytes; its text may quote values
                raise UnreadableError(
                    f"file {index + 1} of {len(case.files)} is damaged ({type(error).__name__})"
                ) from None
    pixels, valid = stack.result()
    names = RGB if pixels.shape[1] == 3 else ("grey",)
    image = Image(
        pixels=reconcile(pixels, names, request),
        geometry=Geometry.from_json(case.details["geometry"]),
        valid=valid,
    )
    return ReadResult((image,), tuple(f"odd header value: {note}" for note in notes))


def _check_policy(case: Case, request: ReadRequest) -> None:
    irregular: list[str] = case.details["irregular"]
    if irregular and (request.gaps == "error" or request.strict):
        raise UnsupportedError(f"{irregular[0]} (refused by {'--strict' if request.strict else '--gaps error'})")
    if request.strict and case.details["unsure"]:
        raise UnsupportedError(f"{case.details['unsure'][0]} (refused by --strict)")
    if request.spatial_dims == 3 and case.details["geometry"]["positions"] is None and len(case.details["slices"]) > 1:
        raise UnsupportedError("frames without position are no volume: a 3-D model cannot take them; use a 2-D model")
    if request.spatial_dims == 3 and irregular:
        raise UnsupportedError(f"{irregular[0]}: a 3-D model needs a straight stack of even slices; use a 2-D model")


class _Stack:
    """The pixels of a case as they are filled in; allocated when the first frame has told channels and type."""

    def __init__(self, case: Case) -> None:
        self._details = case.details
        self._pixels: NDArray[Any] | None = None
        self._valid: NDArray[np.bool_] | None = None

    def take_file(self, index: int, data: bytes) -> None:
        wanted = [(place, number) for place, (file, number) in enumerate(self._details["slices"]) if file == index]
        _, instance, frames = self._details["instances"][index]
        rows, columns = self._details["rows"], self._details["columns"]
        opened = open_whole(data, HEADER_LIMIT + rows * columns * frames * _BYTES_A_PIXEL, TAGS)
        layout = self._checked_layout(opened, instance, frames)
        frame = frame_reader(opened, layout)
        for place, number in wanted:
            try:
                stored, ybr = frame(max(0, number - 1))
            except UnreadableError as error:
                raise UnreadableError(f"slice {place + 1} of {len(self._details['slices'])}: {error}") from None
            if layout.colour:
                self._put(place, intensity.to_rgb(stored, ybr, opened.data_set, layout), None)
            else:
                valid = intensity.valid_pixels(stored, opened.data_set, layout)
                self._put(place, self._grey(stored, place, opened, layout)[np.newaxis], valid)

    def result(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        if self._pixels is None:
            raise UnreadableError("the case holds no slice")
        return self._pixels, self._valid

    def _checked_layout(self, opened: Opened, instance: str, frames: int) -> Layout:
        layout = layout_of(opened.data_set)
        found = (values.text(opened.data_set, "SOPInstanceUID"), layout.rows, layout.columns, layout.frames)
        if found != (instance, self._details["rows"], self._details["columns"], frames) or opened.pixels is None:
            raise UnreadableError("a file is no longer what it was when the folder was scanned: run again")
        return layout

    def _grey(self, stored: NDArray[Any], place: int, opened: Opened, layout: Layout) -> NDArray[Any]:
        if opened.pixels == "PixelData" and intensity.is_inverted(opened.data_set, layout):
            stored = intensity.inverted(stored, layout)
        table = values.item(opened.data_set, "ModalityLUTSequence")
        if table is not None:
            return intensity.through_modality_lut(stored, table, opened.syntax != kinds.EXPLICIT_BIG)
        stated = self._details["rescale"][place]
        rescale = None if stated is None else (float(stated[0]), float(stated[1]))
        return intensity.rescaled(stored, rescale, np.dtype(self._details["dtype"] or np.float32))

    def _put(self, place: int, values_of_slice: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        slices = len(self._details["slices"])
        if self._pixels is None:
            dtype = self._common_type(values_of_slice)
            self._pixels = np.empty((slices, *values_of_slice.shape), dtype)
        if self._pixels.shape[1:] != values_of_slice.shape or not np.can_cast(
            values_of_slice.dtype, self._pixels.dtype
        ):
            raise UnsupportedError("slices of different colour or depth in one stack")
        self._pixels[place] = values_of_slice
        if valid is not None:
            if self._valid is None:
                self._valid = np.ones((slices, *valid.shape), np.bool_)
            self._valid[place] = valid

    def _common_type(self, first: NDArray[Any]) -> np.dtype[Any]:
        stated: Json = self._details["dtype"]
        return np.dtype(stated) if stated is not None else first.dtype
