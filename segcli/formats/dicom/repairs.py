"""What must be put right after highdicom 0.28, each with its reason; what it must be spared is in ``stand_ins``."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from segcli.case import Case
from segcli.formats.dicom.records import dicom_case
from segcli.formats.dicom.stand_ins import slice_of

_FRAME_CONTENT, _TEMPORAL_INDEX = 0x00209111, 0x00209128


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
    step = dicom_case(case).slice_step
    if step is None:
        if "SpacingBetweenSlices" in measures:
            del measures.SpacingBetweenSlices
    else:
        measures.SpacingBetweenSlices = f"{step:.10g}"


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
    several = len(dicom_case(case).slices) > 1 or len(seg.DimensionIndexSequence) == 1
    spatial = seg.DimensionIndexSequence[-1]
    if several:
        spatial.DimensionIndexPointer, spatial.FunctionalGroupPointer = _TEMPORAL_INDEX, _FRAME_CONTENT
        spatial.DimensionDescriptionLabel = "Temporal Position Index"
    else:
        seg.DimensionIndexSequence = seg.DimensionIndexSequence[:-1]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        index = slice_of(frame) + 1
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
