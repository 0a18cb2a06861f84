"""What highdicom 0.28 must be spared, and what must be put right after it. The reasons stand beside each repair.

highdicom raises on sources that are common in hospitals (ISO 2022 character sets, absent identifiers, odd times, films
without frame of reference) and copies more of them than a SEG should hold. So it is never shown a source: it gets one
clean stand-in per slice, and the true references are put in afterwards.
"""

from __future__ import annotations

from copy import copy, deepcopy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from segcli.case import Case
from segcli.image import Geometry, Json

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_NO_PLACE = Geometry(axes=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
_FRAME_CONTENT, _TEMPORAL_INDEX = 0x00209111, 0x00209128


def has_space(case: Case) -> bool:
    """Whether the SEG may state planes: only if the source has positions, spacing and a frame of reference (C.7.4.1).

    Planes would need pixel measures, and a spacing that the source does not state must not be made up.
    """
    geometry = case.details["geometry"]
    stated = geometry["positions"] is not None and geometry["spacing"] is not None
    return stated and case.details["frame_of_reference"] is not None


def stand_in_uid(index: int) -> str:
    """The UID under which highdicom knows slice ``index``."""
    return f"2.25.{index + 1}"


def stand_ins(case: Case) -> list[Dataset]:
    """One made-up single-frame CT header per slice, with the true geometry and no patient.

    Sources without geometry get planes 1 mm apart, because highdicom refuses several frames without frame of
    reference (issues 174, 200, 284, 369); :func:`remove_space` takes them away again.
    """
    details = case.details
    geometry = Geometry.from_json(details["geometry"])
    positions = geometry.positions if has_space(case) else None
    row, column = (geometry if positions is not None else _NO_PLACE).axes[:2]  # type: ignore[index]
    result = []
    for index in range(len(details["slices"])):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = UID(_CT_IMAGE), UID(stand_in_uid(index))
        image.StudyInstanceUID, image.SeriesInstanceUID = UID("2.25.1"), UID("2.25.2")
        image.FrameOfReferenceUID = UID("2.25.3")
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(image, keyword, "")  # highdicom reads them as attributes: absent ones raise AttributeError
        image.StudyDate = image.StudyTime = None
        image.Modality = "CT"
        image.Rows, image.Columns = details["rows"], details["columns"]
        image.ImageOrientationPatient = [*row, *column]
        image.ImagePositionPatient = list(positions[index]) if positions is not None else [0.0, 0.0, float(index)]
        image.PixelSpacing = list(geometry.spacing or (1.0, 1.0))  # remove_space takes a made-up one away
        image.SliceThickness = details["thickness"] or 1.0
        result.append(image)
    return result


def put_references(seg: Dataset, case: Case) -> None:
    """Name the true instances and frames where highdicom named stand-ins; list every instance of the case once."""
    details = case.details
    frames = seg.PerFrameFunctionalGroupsSequence
    slices = [_slice_of(frame) for frame in frames]  # before any change: highdicom shares items between frames
    for frame, index in zip(frames, slices, strict=True):
        file, number = details["slices"][index]
        image = _refer(deepcopy(frame.DerivationImageSequence[0].SourceImageSequence[0]), details["instances"][file])
        if number:
            image.ReferencedFrameNumber = number
        derivation = copy(frame.DerivationImageSequence[0])
        derivation.SourceImageSequence = DicomSequence([image])
        frame.DerivationImageSequence = DicomSequence([derivation])
    listed = [_refer(Dataset(), instance) for instance in details["instances"]]
    series = Dataset()
    series.SeriesInstanceUID = UID(details["series"])
    series.ReferencedInstanceSequence = DicomSequence(listed)
    seg.ReferencedSeriesSequence = DicomSequence([series])
    del seg.SourceImageSequence  # a second list of the same, of stand-ins
    if has_space(case):
        seg.FrameOfReferenceUID = UID(details["frame_of_reference"])


def _slice_of(frame: Dataset) -> int:
    """Which slice the stand-in is that a frame still refers to."""
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return int(str(source.ReferencedSOPInstanceUID).removeprefix("2.25.")) - 1


def _refer(item: Dataset, instance: Json) -> Dataset:
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(instance[0]), UID(instance[1])
    return item


def unshare_segment(seg: Dataset) -> None:
    """For a single segment highdicom moves its number to the shared groups: legal, but older readers miss it there."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            frame.SegmentIdentificationSequence = shared.SegmentIdentificationSequence
        del shared.SegmentIdentificationSequence


def set_slice_spacing(seg: Dataset, case: Case) -> None:
    """The distance along the normal for evenly spaced slices, tilted or not; none for others.

    highdicom measures tilted stacks along their slant or not at all, and gives a single slice a spacing.
    """
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if case.details["step"] is None:
        if "SpacingBetweenSlices" in measures:
            del measures.SpacingBetweenSlices
    else:
        measures.SpacingBetweenSlices = f"{case.details['step']:.10g}"


def remove_space(seg: Dataset, case: Case) -> None:
    """Without frame of reference: no planes, no measures; several frames are told apart by their number in time.

    Pixel measures go too: they may lack a slice thickness here, but then highdicom cannot read the file it wrote.
    The dimension may be anything consistent where there is no space (highdicom issue 159).
    """
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "DimensionOrganizationType"):
        if keyword in seg:
            delattr(seg, keyword)
    shared = seg.SharedFunctionalGroupsSequence[0]
    del shared.PlaneOrientationSequence, shared.PixelMeasuresSequence
    several = len(case.details["slices"]) > 1 or len(seg.DimensionIndexSequence) == 1
    spatial = seg.DimensionIndexSequence[-1]
    if several:
        spatial.DimensionIndexPointer, spatial.FunctionalGroupPointer = _TEMPORAL_INDEX, _FRAME_CONTENT
        spatial.DimensionDescriptionLabel = "Temporal Position Index"
    else:
        seg.DimensionIndexSequence = seg.DimensionIndexSequence[:-1]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        index = _slice_of(frame) + 1
        content = frame.FrameContentSequence[0]
        dimensions = list(content.DimensionIndexValues) if not isinstance(content.DimensionIndexValues, int) else [1]
        if several:
            content.TemporalPositionIndex = index
            content.DimensionIndexValues = [*dimensions[:-1], index]
        else:
            content.DimensionIndexValues = dimensions[:-1]
        del frame.PlanePositionSequence


def set_dimension_uid(seg: Dataset, uid: str) -> None:
    """highdicom draws a random one, so the same result would not be the same file."""
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = UID(uid)
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = UID(uid)


def set_dates(seg: Dataset, date: str, time: str) -> None:
    """highdicom writes the present moment; content takes the source's date, and nothing says when the file was made."""
    seg.ContentDate, seg.ContentTime = date, time
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        delattr(seg, keyword)


def remove_equipment(seg: Dataset) -> None:
    """highdicom lists the source's institution and department, and itself with the moment: neither is wanted."""
    if "ContributingEquipmentSequence" in seg:
        del seg.ContributingEquipmentSequence


def zero_pad_byte(seg: Dataset, used: int) -> None:
    """highdicom pads an odd number of bytes with the character 0 (30H), which is three pixels set; PS3.5 8.1.1: 00H."""
    if len(seg.PixelData) > used:
        seg.PixelData = bytes(seg.PixelData[:used]) + b"\0" * (len(seg.PixelData) - used)
