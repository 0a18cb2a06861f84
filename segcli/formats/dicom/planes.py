"""Where and when each frame of an instance was taken (PS3.3 C.7.6.2, C.7.6.16), from its header."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeAlias

from pydicom.dataset import Dataset

from segcli.formats.dicom import values
from segcli.formats.dicom.records import Cosines, Plane, TimeValue
from segcli.image import Vector

TIME_KEYWORDS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "FrameReferenceTime",
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
    "InstanceNumber",
)
_FRAME_TIMES = (
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIndex"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
)
_CLOCK = frozenset({"AcquisitionDateTime", "FrameAcquisitionDateTime", "AcquisitionTime", "ContentTime"})
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")


def single_plane(data_set: Dataset) -> Plane:
    """The plane of a single-frame image."""
    times = {keyword: _sortable(data_set, keyword) for keyword in TIME_KEYWORDS}
    return _plane(
        (data_set, data_set, data_set, data_set),
        {keyword: value for keyword, value in times.items() if value is not None},
    )


def enhanced_planes(data_set: Dataset) -> tuple[Plane, ...]:
    """The planes of an enhanced multi-frame image, from its functional groups: as many as it describes frames."""
    shared = values.item(data_set, "SharedFunctionalGroupsSequence") or Dataset()
    per_frame = values.raw(data_set, "PerFrameFunctionalGroupsSequence") or []
    return tuple(_enhanced_plane(data_set, shared, own, index + 1) for index, own in enumerate(per_frame))


def _enhanced_plane(whole: Dataset, shared: Dataset, own: Dataset, number: int) -> Plane:
    def group(keyword: str) -> Dataset:
        """The frame's own macro, else the one all frames share."""
        return values.item(own, keyword) or values.item(shared, keyword) or Dataset()

    measures = group("PixelMeasuresSequence")
    times: dict[str, TimeValue] = {}
    for sequence, keyword, name in _FRAME_TIMES:
        value = _sortable(group(sequence), keyword)
        if value is not None:
            times.setdefault(name, value)
    types = [values.text(group(keyword), "FrameType") for keyword in _FRAME_TYPES]
    position, orientation = group("PlanePositionSequence"), group("PlaneOrientationSequence")
    transformation = group("PixelValueTransformationSequence")
    if len(transformation) == 0:
        transformation = whole  # converters leave the rescale of single-frame images where it was
    times["InstanceNumber"] = number
    frame_type = next((kind for kind in types if kind), None)
    return _plane((position, orientation, measures, transformation), times, frame_type)


_Places: TypeAlias = tuple[Dataset, Dataset, Dataset, Dataset]
"""Where the elements of position, orientation, pixel measures and rescale lie."""


def _plane(places: _Places, times: dict[str, TimeValue], frame_type: str | None = None) -> Plane:
    position, orientation, measures, transformation = places
    plane = Plane(
        position=_position(position),
        orientation=_orientation(orientation),
        pixel_spacing=_spacing(measures),
        slice_thickness=_positive(measures, "SliceThickness"),
        spacing_between_slices=_positive(measures, "SpacingBetweenSlices"),
        rescale_slope=values.number(transformation, "RescaleSlope"),
        rescale_intercept=values.number(transformation, "RescaleIntercept"),
        times=times,
        frame_type=frame_type,
    )
    malformed = _malformed(plane, places)
    return plane if malformed is None else replace(plane, malformed=malformed)


def _malformed(plane: Plane, places: _Places) -> str | None:
    """The keyword of an element that is not empty and yet holds no usable value."""
    position, orientation, measures, transformation = places
    for usable, data_set, keyword, count in (
        (plane.position, position, "ImagePositionPatient", 3),
        (plane.orientation, orientation, "ImageOrientationPatient", 6),
        (plane.pixel_spacing, measures, "PixelSpacing", 2),
        (None, transformation, "RescaleSlope", 1),  # one number, not the first of several
        (None, transformation, "RescaleIntercept", 1),
    ):
        if usable is None and values.has(data_set, keyword) and values.numbers(data_set, keyword, count) is None:
            if values.is_empty(data_set, keyword):
                continue
            return keyword
    if plane.orientation is None and any(values.numbers(orientation, "ImageOrientationPatient", 6) or ()):
        return "ImageOrientationPatient"
    return "RescaleSlope" if plane.rescale_slope == 0 else None


def _position(data_set: Dataset) -> Vector | None:
    stated = values.numbers(data_set, "ImagePositionPatient", 3)
    return None if stated is None else (stated[0], stated[1], stated[2])


def _orientation(data_set: Dataset) -> Cosines | None:
    """Six direction cosines that are two perpendicular unit vectors within 1 %; six zeros are no orientation."""
    cosines = values.numbers(data_set, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    row, column = cosines[:3], cosines[3:]
    if abs(math.hypot(*row) - 1) > 0.01 or abs(math.hypot(*column) - 1) > 0.01:
        return None
    if abs(sum(a * b for a, b in zip(row, column, strict=True))) > 0.01:
        return None
    return (row[0], row[1], row[2], column[0], column[1], column[2])


def _spacing(data_set: Dataset) -> tuple[float, float] | None:
    spacing = values.numbers(data_set, "PixelSpacing", 2)
    return (spacing[0], spacing[1]) if spacing is not None and min(spacing) > 0 else None


def _positive(data_set: Dataset, keyword: str) -> float | None:
    value = values.number(data_set, keyword)
    return value if value is not None and value > 0 else None


def _sortable(data_set: Dataset, keyword: str) -> TimeValue | None:
    """A value that sorts in time: a number where it is one, else text (DA, TM and DT sort as text)."""
    stated = values.text(data_set, keyword)
    if stated is None:
        return None
    if keyword in _CLOCK:
        return stated.replace(":", "")
    try:
        result = float(stated.split("\\")[0])
    except ValueError:
        return stated
    return result if math.isfinite(result) else stated
