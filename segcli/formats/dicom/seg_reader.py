"""A DICOM SEG → label maps, and the check that a SEG just written says what it was meant to say.

Bits are unpacked here with NumPy and headers read with pydicom, apart from highdicom, which wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from segcli.case import Case
from segcli.errors import CaseError, UnreadableError, UnsupportedError
from segcli.formats.dicom import kinds, values
from segcli.formats.dicom.quiet import quiet
from segcli.formats.dicom.records import Cosines, FrameSource, dicom_case
from segcli.formats.dicom.seg_writer import segment_numbers, to_segments
from segcli.formats.dicom.space import has_planes
from segcli.formats.dicom.stack import along_normal
from segcli.formats.dicom.terms import label_value
from segcli.formats.interface import MaskRequest
from segcli.formats.limits import MASK_PIXELS, check_mask
from segcli.image import Geometry, LabelMap
from segcli.regular_file import open_regular
from segcli.settings import PredictSettings

_LABELMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"


@dataclass(frozen=True)
class _Frame:
    segment: int | None
    source: FrameSource
    position: tuple[float, float, float] | None
    pixels: NDArray[Any]


def read_labels(path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
    """One label map of the slices that have frames, in order along the normal, or of the film where there is none.

    ``extra["sources"]``: SOP instance UID and frame number of each slice. Slices without any frame are not in the file;
    :func:`verify` knows them. Where segments overlap the later one wins. Raises UnreadableError, UnsupportedError.
    """
    with quiet():
        seg, frames = _frames(path, max_pixels)
        described = {int(item.SegmentNumber): label_value(item) for item in seg.SegmentSequence}
        orientation = _orientation(seg)
    order = _order(frames, orientation)
    dtype = np.uint8 if max(described.values(), default=0) < 256 else np.uint16
    pixels = np.zeros((len(order), int(seg.Rows), int(seg.Columns)), dtype)
    table = np.zeros(1 << 16, dtype)
    for number, value in described.items():
        table[number] = value
    table[0] = 0
    for frame in frames:
        place = order[frame.source]
        if frame.segment is None:
            pixels[place] = table[frame.pixels]
        else:
            pixels[place][frame.pixels != 0] = described[frame.segment]
    return (LabelMap(pixels, _geometry(seg, frames, order, orientation), {"sources": [list(key) for key in order]}),)


def verify(path: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> bool:
    """Whether the SEG at ``path`` holds exactly ``masks``: pixels of every slice and segment, absent frames included,
    each under the source slice and at the position it belongs to. Raises CaseError where it cannot be read.
    """
    numbers = segment_numbers(request)
    expected = to_segments(masks, case, numbers)
    with quiet():
        seg, frames = _frames(path)
    keys: dict[FrameSource, int] = {source: index for index, source in enumerate(dicom_case(case).sources)}
    found = np.zeros_like(expected)
    for frame in frames:
        index = keys.get(frame.source)
        if index is None or not _same_place(frame.position, case, index, request.settings):
            return False
        if frame.segment is None:
            found[index] = frame.pixels
        else:
            found[index][frame.pixels != 0] = frame.segment
    described = [int(item.SegmentNumber) for item in seg.SegmentSequence if int(item.SegmentNumber)]
    return described == list(numbers.values()) and np.array_equal(found, expected)


def _same_place(position: tuple[float, float, float] | None, case: Case, index: int, settings: PredictSettings) -> bool:
    true = dicom_case(case).geometry.positions if has_planes(case, settings) else None
    if position is None or true is None:
        return position is None and true is None
    return bool(np.abs(np.subtract(position, true[index])).max() < 0.01)


def _frames(path: Path, max_pixels: int | None = None) -> tuple[Dataset, list[_Frame]]:
    try:
        with open_regular(path) as stream:
            seg = dcmread(stream)
        if max_pixels is not None:
            numbers = int(seg.NumberOfFrames) * int(seg.Rows) * int(seg.Columns)
            check_mask(numbers, max(1, int(seg.BitsAllocated) // 8), max_pixels)
        pixels = _unpacked(seg)
        groups = [_frame(seg, own, pixels[index]) for index, own in enumerate(seg.PerFrameFunctionalGroupsSequence)]
    except CaseError:
        raise
    except Exception as error:  # noqa: BLE001 - any library error; its text may quote values
        raise UnreadableError(f"the DICOM SEG cannot be read ({type(error).__name__})") from None
    return seg, groups


def _unpacked(seg: Dataset) -> NDArray[Any]:
    """``[frame, row, column]``: 0 or 1 for BINARY, segment numbers for LABELMAP."""
    shape = int(seg.NumberOfFrames), int(seg.Rows), int(seg.Columns)
    kind = str(seg.get("SegmentationType", ""))
    if kind not in ("BINARY", "LABELMAP"):
        raise UnsupportedError(f"a DICOM SEG of type {kind or 'unknown'}: segcli reads BINARY and LABELMAP")
    syntax = seg.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        if kind == "BINARY" or syntax != RLELossless:
            raise UnsupportedError(f"a DICOM SEG in transfer syntax {kinds.shown(syntax)}")
        return np.asarray(seg.pixel_array).reshape(shape)
    if kind == "LABELMAP":
        return np.frombuffer(seg.PixelData, f"<u{seg.BitsAllocated // 8}", int(np.prod(shape))).reshape(shape)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little", count=int(np.prod(shape)))
    return bits.reshape(shape)


def _frame(seg: Dataset, own: Dataset, pixels: NDArray[Any]) -> _Frame:
    shared = seg.SharedFunctionalGroupsSequence[0]
    identified = values.item(own, "SegmentIdentificationSequence") or values.item(
        shared, "SegmentIdentificationSequence"
    )
    derivation = values.item(own, "DerivationImageSequence")
    source = values.item(derivation, "SourceImageSequence") if derivation is not None else None
    if source is None:
        raise UnsupportedError("a DICOM SEG whose frames do not say from which image they come")
    place = values.item(own, "PlanePositionSequence")
    position = values.numbers(place, "ImagePositionPatient", 3) if place is not None else None
    return _Frame(
        segment=None if identified is None else int(identified.ReferencedSegmentNumber),
        source=(str(source.ReferencedSOPInstanceUID), values.whole(source, "ReferencedFrameNumber") or 0),
        position=None if position is None else (position[0], position[1], position[2]),
        pixels=pixels,
    )


def _orientation(seg: Dataset) -> Cosines | None:
    plane = values.item(seg.SharedFunctionalGroupsSequence[0], "PlaneOrientationSequence")
    stated = None if plane is None else values.numbers(plane, "ImageOrientationPatient", 6)
    return None if stated is None else (stated[0], stated[1], stated[2], stated[3], stated[4], stated[5])


def _order(frames: Sequence[_Frame], orientation: Cosines | None) -> dict[FrameSource, int]:
    """Place of each source slice in the label map."""
    positions = {frame.source: frame.position for frame in frames}
    if orientation is None or any(position is None for position in positions.values()):
        return {source: index for index, source in enumerate(sorted(positions, key=lambda key: key[1]))}
    known = [position for position in positions.values() if position is not None]
    heights = dict(zip(positions, along_normal(known, orientation).tolist(), strict=True))
    return {source: index for index, source in enumerate(sorted(positions, key=lambda key: heights[key]))}


def _geometry(
    seg: Dataset, frames: Sequence[_Frame], order: dict[FrameSource, int], orientation: Cosines | None
) -> Geometry:
    measures = values.item(seg.SharedFunctionalGroupsSequence[0], "PixelMeasuresSequence")
    spacing = None if measures is None else values.numbers(measures, "PixelSpacing", 2)
    known = None if spacing is None else (spacing[0], spacing[1])
    if orientation is None:
        return Geometry(spacing=known)
    x, y, z = np.cross(orientation[:3], orientation[3:]).tolist()
    by_source = {frame.source: frame.position for frame in frames}
    positions = [position for source in order if (position := by_source[source]) is not None]
    if len(positions) < len(order):
        raise UnreadableError("the DICOM SEG states an orientation, but not where each of its frames lies")
    axes = orientation[:3], orientation[3:], (x, y, z)
    return Geometry(spacing=known, axes=axes, positions=tuple(positions))
