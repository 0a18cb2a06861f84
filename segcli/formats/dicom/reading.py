"""A case → its intensities as one image, file by file, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import SegcliError, UnreadableError, UnsupportedError
from segcli.formats.dicom import intensity, kinds, values
from segcli.formats.dicom.assembly import Assembly
from segcli.formats.dicom.damage import unlike_neighbours
from segcli.formats.dicom.data_set import HEADER_LIMIT, Opened, open_whole
from segcli.formats.dicom.decode import FrameReader, frame_reader
from segcli.formats.dicom.layout import Layout, layout_of
from segcli.formats.dicom.parallel import Workers
from segcli.formats.dicom.quiet import quiet
from segcli.formats.dicom.records import DicomCase, SourceInstance, dicom_case
from segcli.formats.dicom.space import NO_SPACING, is_in_space
from segcli.formats.interface import InputFiles, ReadRequest, ReadResult
from segcli.formats.limits import check_pixels, check_slices
from segcli.formats.pixels import RGB, hide_non_finite, reconcile
from segcli.image import Image

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
_BYTES_PER_PIXEL = 32
"""No layout we read needs more; bounds what a deflated file may inflate to."""


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """Pixels ``[slice, channel, row, column]`` of a DICOM case, slices in the order of the case.

    Integers stay exact where the rescale is a whole shift; else float32. Raises UnsupportedError where the request
    forbids what the stack is (gaps, 3-D), UnreadableError where a file is damaged or no longer what was scanned.
    """
    details = dicom_case(case)
    _check_policy(case, details, request)
    slices, rows, columns = details.shape
    frames = sum(instance.frames for instance in details.instances)  # of other cases too: all are work
    check_slices(frames, sum(path.stat().st_size for path in case.files), request.max_pixels)
    check_pixels(slices * rows * columns, 1, request.max_pixels)
    stack = _Stack(details)
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
        geometry=details.geometry,
        valid=valid,
    )
    notes = [f"odd header value: {note}" for note in notes]
    return ReadResult((image,), (*notes, *warnings, *_looks(details, pixels)))


def _looks(details: DicomCase, pixels: NDArray[Any]) -> list[str]:
    """What is to be told of slices that may be damaged: only compressed data can be without an error."""
    compressed = any(instance.transfer_syntax_uid not in kinds.NATIVE for instance in details.instances)
    if details.geometry.positions is None or not compressed:
        return []
    odd = unlike_neighbours(pixels)
    if not odd:
        return []
    places = ", ".join(map(str, odd[:5])) + (", ..." if len(odd) > 5 else "")
    return [f"slice(s) {places} differ from both neighbours as damaged data would: look at them"]


def _check_policy(case: Case, details: DicomCase, request: ReadRequest) -> None:
    irregular, unsure = details.irregular, details.unsure
    if irregular and (request.gaps == "error" or request.strict):
        raise UnsupportedError(f"{irregular[0]} (refused by {'--strict' if request.strict else '--gaps error'})")
    if request.strict and unsure:
        raise UnsupportedError(f"{unsure[0]} (refused by --strict)")
    if is_in_space(case) and details.geometry.spacing is None and request.spacing is None:
        raise UnsupportedError(NO_SPACING)
    if request.spatial_dims == 3 and details.geometry.positions is None:
        raise UnsupportedError("images without position are no volume: a 3-D model cannot take them; use a 2-D model")
    if request.spatial_dims == 3 and irregular:
        raise UnsupportedError(f"{irregular[0]}: a 3-D model needs a straight stack of even slices; use a 2-D model")


class _Stack:
    """Files of a case → slices in their places."""

    def __init__(self, details: DicomCase) -> None:
        self._details = details
        self._assembly = Assembly(len(details.slices), details.intensity_type)
        self._places: dict[int, list[int]] = {}
        for place, source in enumerate(details.slices):
            self._places.setdefault(source.file, []).append(place)

    def result(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        return self._assembly.result()

    def take_file(self, index: int, data: bytes, workers: Workers) -> None:
        """Native files at once, for a thread would only add to it; compressed ones by the workers."""
        instance = self._details.instances[index]
        if instance.transfer_syntax_uid in _QUICK:
            self._open(index, data, None)
        elif instance.frames == 1:
            workers.submit(self._open, index, data, None)
        else:
            self._open(index, data, workers)

    def _open(self, index: int, data: bytes, workers: Workers | None) -> None:
        with self._telling(index):
            instance = self._details.instances[index]
            pixels = self._details.rows * self._details.columns * instance.frames
            opened = open_whole(data, HEADER_LIMIT + pixels * _BYTES_PER_PIXEL, TAGS)
            layout = self._checked_layout(opened, instance)
            read_frame = frame_reader(opened, layout)
        for place in self._places[index]:
            if workers is None:
                self._take_frame(place, read_frame, opened, layout)
            else:
                workers.submit(self._take_frame, place, read_frame, opened, layout)

    def _take_frame(self, place: int, read: FrameReader, opened: Opened, layout: Layout) -> None:
        source = self._details.slices[place]
        with self._telling(source.file, place):
            stored, ybr = read(max(0, source.frame - 1))
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
        source = self._details.slices[place]
        dtype = np.dtype(self._details.intensity_type or np.float32)
        if dtype.kind in "iu":
            self._assembly.put_whole(place, stored, int(source.intercept))
        else:
            rescaled = intensity.rescaled(stored, source.slope, source.intercept, dtype)
            self._assembly.put(place, rescaled[np.newaxis])

    def _checked_layout(self, opened: Opened, instance: SourceInstance) -> Layout:
        if opened.pixels is None:
            # pydicom gives up all elements where compressed pixels do not end
            same = values.text(opened.data_set, "SOPInstanceUID") in (instance.instance_uid, None)
            raise UnreadableError("the file ends inside its pixel data: it was cut short" if same else _CHANGED)
        layout = layout_of(opened.data_set, opened.pixels)
        found = (values.text(opened.data_set, "SOPInstanceUID"), layout.rows, layout.columns, layout.frames)
        if found != (instance.instance_uid, self._details.rows, self._details.columns, instance.frames):
            raise UnreadableError(_CHANGED)
        return layout

    @contextmanager
    def _telling(self, index: int, place: int | None = None) -> Iterator[None]:
        """Which slice it was; of a library's own error only the kind, for its text may quote values."""
        try:
            yield
        except UnreadableError as error:
            where = "" if place is None else f"slice {place + 1} of {len(self._details.slices)}: "
            raise UnreadableError(f"{where}{error}") from None
        except (SegcliError, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - any library error on damaged bytes
            raise UnreadableError(
                f"file {index + 1} of {len(self._details.instances)} is damaged ({type(error).__name__})"
            ) from None
