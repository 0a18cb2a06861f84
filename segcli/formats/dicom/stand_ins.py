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
from segcli.formats.dicom.records import SourceInstance, dicom_case
from segcli.formats.dicom.space import has_planes, pixel_spacing, thickness
from segcli.image import Geometry
from segcli.settings import PredictSettings

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_NO_AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def stand_ins(case: Case, settings: PredictSettings) -> list[Dataset]:
    """One made-up single-frame CT header per slice, with the true geometry and no patient.

    Sources without geometry get planes 1 mm apart, because highdicom refuses several frames without frame of
    reference (issues 174, 200, 284, 369); :func:`segcli.formats.dicom.repairs.remove_space` takes them away again.
    """
    details = dicom_case(case)
    geometry = details.geometry if has_planes(case, settings) else Geometry()
    row, column, _ = geometry.axes or _NO_AXES
    spacing = pixel_spacing(case, settings) or (1.0, 1.0)
    result = []
    for index in range(len(details.slices)):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = UID(_CT_IMAGE), UID(_stand_in_uid(index))
        image.StudyInstanceUID, image.SeriesInstanceUID = UID("2.25.1"), UID("2.25.2")
        image.FrameOfReferenceUID = UID("2.25.3")
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(image, keyword, "")  # highdicom reads them as attributes: absent ones raise AttributeError
        image.StudyDate = image.StudyTime = None
        image.Modality = "CT"
        image.Rows, image.Columns = details.rows, details.columns
        image.ImageOrientationPatient = [*row, *column]
        image.ImagePositionPatient = list(geometry.positions[index]) if geometry.positions else [0.0, 0.0, float(index)]
        image.PixelSpacing = list(spacing)
        image.SliceThickness = thickness(case, spacing)
        result.append(image)
    return result


def put_references(seg: Dataset, case: Case, settings: PredictSettings) -> None:
    """Name the true instances and frames where highdicom named stand-ins; list every instance of the case once."""
    details = dicom_case(case)
    frames = seg.PerFrameFunctionalGroupsSequence
    slices = [slice_of(frame) for frame in frames]  # before any change: highdicom shares items between frames
    for frame, index in zip(frames, slices, strict=True):
        source = details.slices[index]
        image = deepcopy(frame.DerivationImageSequence[0].SourceImageSequence[0])
        _refer(image, details.instances[source.file])
        if source.frame:
            image.ReferencedFrameNumber = source.frame
        derivation = copy(frame.DerivationImageSequence[0])
        derivation.SourceImageSequence = DicomSequence([image])
        frame.DerivationImageSequence = DicomSequence([derivation])
    listed = [_refer(Dataset(), instance) for instance in details.instances]
    series = Dataset()
    series.SeriesInstanceUID = UID(details.series_uid)
    series.ReferencedInstanceSequence = DicomSequence(listed)
    seg.ReferencedSeriesSequence = DicomSequence([series])
    del seg.SourceImageSequence  # a second list of the same, of stand-ins
    if has_planes(case, settings):
        seg.FrameOfReferenceUID = UID(details.frame_of_reference_uid)


def _stand_in_uid(index: int) -> str:
    """The UID under which highdicom knows slice ``index``."""
    return f"2.25.{index + 1}"


def slice_of(frame: Dataset) -> int:
    """Which slice the stand-in is that a frame still refers to."""
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    return int(str(source.ReferencedSOPInstanceUID).removeprefix("2.25.")) - 1


def _refer(item: Dataset, instance: SourceInstance) -> Dataset:
    item.ReferencedSOPClassUID = UID(instance.sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(instance.instance_uid)
    return item
