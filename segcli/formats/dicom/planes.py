"""Where and when each frame of an instance was taken (PS3.3 C.7.6.2, C.7.6.16), as small JSON dicts.

A plane: ``p`` position of pixel (0, 0), ``o`` direction cosines of row and column, ``s`` pixel spacing (rows, columns),
``t`` slice thickness, ``b`` spacing between slices, all in mm; ``r`` rescale slope and intercept, None where only the
other is stated; ``k`` what may tell time points apart; ``y`` the frame's image type. Absent keys: the header does not
say. ``x``: the keyword of an element
that says something which is not what it should be (a decimal comma, two numbers of three).
"""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

from segcli.formats.dicom import values
from segcli.image import Json

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


def single_plane(data_set: Dataset) -> Json:
    """The plane of a single-frame image."""
    times = {keyword: _sortable(data_set, keyword) for keyword in TIME_KEYWORDS}
    return _compact(
        p=values.numbers(data_set, "ImagePositionPatient", 3),
        o=_orientation(data_set),
        s=_spacing(data_set),
        t=_positive(data_set, "SliceThickness"),
        b=_positive(data_set, "SpacingBetweenSlices"),
        r=_rescale(data_set),
        k={keyword: value for keyword, value in times.items() if value is not None},
        x=_broken(data_set, data_set, data_set, data_set),
    )


def enhanced_planes(data_set: Dataset) -> list[Json]:
    """The planes of an enhanced multi-frame image, from its functional groups: as many as it describes frames."""
    shared = values.item(data_set, "SharedFunctionalGroupsSequence") or Dataset()
    per_frame = values.raw(data_set, "PerFrameFunctionalGroupsSequence") or []
    return [_enhanced_plane(data_set, shared, own, index + 1) for index, own in enumerate(per_frame)]


def _enhanced_plane(whole: Dataset, shared: Dataset, own: Dataset, number: int) -> Json:
    def group(keyword: str) -> Dataset:
        """The frame's own macro, else the one all frames share."""
        return values.item(own, keyword) or values.item(shared, keyword) or Dataset()

    measures = group("PixelMeasuresSequence")
    times: dict[str, Any] = {}
    for sequence, keyword, name in _FRAME_TIMES:
        value = _sortable(group(sequence), keyword)
        if value is not None:
            times.setdefault(name, value)
    types = [values.text(group(keyword), "FrameType") for keyword in _FRAME_TYPES]
    position, orientation = group("PlanePositionSequence"), group("PlaneOrientationSequence")
    transformation = group("PixelValueTransformationSequence")
    if len(transformation) == 0:
        transformation = whole  # converters leave the rescale of single-frame images where it was
    return _compact(
        p=values.numbers(position, "ImagePositionPatient", 3),
        o=_orientation(orientation),
        s=_spacing(measures),
        t=_positive(measures, "SliceThickness"),
        b=_positive(measures, "SpacingBetweenSlices"),
        r=_rescale(transformation),
        k=times | {"InstanceNumber": number},
        y=next((kind for kind in types if kind), None),
        x=_broken(position, orientation, measures, transformation),
    )


def _compact(**entries: Any) -> Json:
    return {key: value for key, value in entries.items() if value is not None}


def _broken(position: Dataset, orientation: Dataset, measures: Dataset, transformation: Dataset) -> str | None:
    """The keyword of an element that is not empty and yet holds no usable value; the arguments say where each lies."""
    for data_set, keyword, count in (
        (position, "ImagePositionPatient", 3),
        (orientation, "ImageOrientationPatient", 6),
        (measures, "PixelSpacing", 2),
        (transformation, "RescaleSlope", 1),
        (transformation, "RescaleIntercept", 1),
    ):
        if values.has(data_set, keyword) and values.numbers(data_set, keyword, count) is None:
            if values.is_empty(data_set, keyword):
                continue
            return keyword
    cosines = values.numbers(orientation, "ImageOrientationPatient", 6)
    if cosines is not None and any(cosines) and _orientation(orientation) is None:
        return "ImageOrientationPatient"
    return "RescaleSlope" if values.number(transformation, "RescaleSlope") == 0 else None


def _orientation(data_set: Dataset) -> list[float] | None:
    """Six direction cosines that are two perpendicular unit vectors within 1 %; six zeros are no orientation."""
    cosines = values.numbers(data_set, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    row, column = cosines[:3], cosines[3:]
    if abs(math.hypot(*row) - 1) > 0.01 or abs(math.hypot(*column) - 1) > 0.01:
        return None
    return cosines if abs(sum(a * b for a, b in zip(row, column, strict=True))) <= 0.01 else None


def _spacing(data_set: Dataset) -> list[float] | None:
    spacing = values.numbers(data_set, "PixelSpacing", 2)
    return spacing if spacing is not None and min(spacing) > 0 else None


def _positive(data_set: Dataset, keyword: str) -> float | None:
    value = values.number(data_set, keyword)
    return value if value is not None and value > 0 else None


def _rescale(data_set: Dataset) -> list[float | None] | None:
    stated = [values.number(data_set, "RescaleSlope"), values.number(data_set, "RescaleIntercept")]
    return None if stated == [None, None] else stated


def _sortable(data_set: Dataset, keyword: str) -> float | str | None:
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
