"""What highdicom is shown in place of the sources, and the true references in place of those stand-ins afterwards.

highdicom 0.28 raises on sources that are common in hospitals: ISO 2022 character sets, absent identifiers, odd dates
and times, films without frame of reference; and it copies more of them than a SEG should hold. So it never sees one.
"""

from __future__ import annotations

from copy import copy, deepcopy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from segcli.case import Case
from segcli.formats.dicom.space import has_planes, pixel_spacing, thickness
from segcli.image import Geometry, Json
from segcli.settings import PredictSettings

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_NO_PLACE = Geometry(axes=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


def stand_ins(case: Case, settings: PredictSettings) -> list[Dataset]:
    """One made-up single-frame CT header per slice, with the true geometry and no patient.

    Sources without geometry get planes 1 mm apart, because highdicom refuses several frames without frame of
    reference (issues 174, 200, 284, 369); :func:`segcli.formats.dicom.repairs.remove_space` takes them away again.
    """
    geometry = Geometry.from_json(case.details["geometry"])
    positions = geometry.positions if has_planes(case, settings) else None
    row, column = (geometry if positions is not None else _NO_PLACE).axes[:2]  # type: ignore[index]
    spacing = pixel_spacing(case, settings) or (1.0, 1.0)
    result = []
    for index in range(len(case.details["slices"])):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = UID(_CT_IMAGE), UID(_stand_in_uid(index))
        image.StudyInstanceUID, image.SeriesInstanceUID = UID("2.25.1"), UID("2.25.2")
        image.FrameOfReferenceUID = UID("2.25.3")
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(image, keyword, "")  # highdicom reads them as attributes: absent ones raise AttributeError
        image.StudyDate = image.StudyTime = None
        image.Modality = "CT"
        image.Rows, image.Columns = case.details["rows"], case.details["columns"]
        image.ImageOrientationPatient = [*row, *column]
        image.ImagePositionPatient = list(positions[index]) if positions is not None else [0.0, 0.0, float(index)]
        image.PixelSpacing = list(spacing)
        image.SliceThickness = thickness(case, spacing)
        result.append(image)
    return result


def put_references(seg: Dataset, case: Case, settings: PredictSettings) -> None:
    """Name the true instances and frames where highdicom named stand-ins; list every instance of the case once."""
    details = case.details
    frames = seg.PerFrameFunctionalGroupsSequence
    slices = [slice_of(frame) for frame in frames]  # before any change: highdicom shares items between frames
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
    if has_planes(case, settings):
        seg.FrameOfReferenceUID = UID(details["frame_of_reference"])


def _stand_in_uid(index: int) -> str:
    """The UID under which highdicom knows slice ``index``."""
    return f"2.25.{index + 1}"


def slice_of(frame: Dataset) -> int:
    """Which slice the stand-in is that a frame still refers to."""
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return int(str(source.ReferencedSOPInstanceUID).removeprefix("2.25.")) - 1


def _refer(item: Dataset, instance: Json) -> Dataset:
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(instance[0]), UID(instance[1])
    return item
