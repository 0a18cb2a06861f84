"""What grouping must know of one file, from its header alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from segcli.errors import SkippedCase, UnreadableError
from segcli.formats.dicom import kinds, values
from segcli.formats.dicom.data_set import Opened, open_header
from segcli.formats.dicom.dates import content_date
from segcli.formats.dicom.faults import describes_its_frames, fault_of
from segcli.formats.dicom.planes import TIME_KEYWORDS, enhanced_planes, single_plane
from segcli.formats.dicom.quiet import quiet
from segcli.formats.dicom.records import Instance, Plane
from segcli.regular_file import open_regular

_KEYWORDS = (
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "BodyPartExamined",
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "TotalPixelMatrixColumns",
    "ContentDate",
    "AcquisitionDate",
    "SeriesDate",
    "StudyDate",
    "SeriesTime",
    "StudyTime",
)


def describe_instance(path: Path, keywords: Sequence[str] = ()) -> Instance:
    """Read the header of ``path``.

    ``keywords``: further elements whose values ``--select`` compares. Raises SkippedCase (no image for us),
    UnreadableError (damaged before it can be told to which series it belongs).
    """
    tags = values.tags_of((*_KEYWORDS, *TIME_KEYWORDS, *keywords))
    with quiet() as notes, open_regular(path) as stream:
        opened = open_header(stream, tags)
        instance = _instance(opened, keywords)
        fault = fault_of(opened, instance)
    return replace(instance, notes=tuple(notes), fault=fault) if notes or fault is not None else instance


def _instance(opened: Opened, keywords: Sequence[str]) -> Instance:
    data_set = opened.data_set
    sop_class = values.text(data_set, "SOPClassUID") or _class_in_meta(data_set)
    if sop_class is None:
        raise SkippedCase("a DICOM file without SOP class: no image")
    modality = values.text(data_set, "Modality")
    reason = kinds.reason_to_skip(sop_class, modality, values.has(data_set, "TotalPixelMatrixColumns"))
    if reason is not None:
        raise SkippedCase(reason)
    if kinds.is_video(opened.syntax):
        raise SkippedCase(f"a video (transfer syntax {kinds.shown(opened.syntax)}): segcli reads still frames only")
    rows, columns = values.whole(data_set, "Rows"), values.whole(data_set, "Columns")
    if opened.pixels is None and not (kinds.is_image_class(sop_class) and (opened.cut or rows)):
        raise SkippedCase(f"no image in it ({_name(sop_class)})")
    study, series, uid = (values.text(data_set, keyword) for keyword in _IDENTITY)
    if study is None or series is None or uid is None:
        raise UnreadableError("an image whose study, series or instance UID is missing: it belongs to no series")
    frames = max(1, values.whole(data_set, "NumberOfFrames") or 1)
    described = _frames_described(data_set)
    allocated = values.whole(data_set, "BitsAllocated") or 0
    return Instance(
        study_uid=study,
        series_uid=series,
        instance_uid=uid,
        sop_class_uid=sop_class,
        transfer_syntax_uid=opened.syntax,
        frame_of_reference_uid=values.text(data_set, "FrameOfReferenceUID"),
        modality=modality if modality is None or modality in kinds.MODALITIES else "?",
        body_part=(values.text(data_set, "BodyPartExamined") or "")[:64],
        patient="\\".join(values.text(data_set, keyword) or "" for keyword in _PATIENT),
        image_type=(values.text(data_set, "ImageType") or "").upper(),
        rows=rows or 0,
        columns=columns or 0,
        frames=frames,
        samples=values.whole(data_set, "SamplesPerPixel") or 1,
        photometric=(values.text(data_set, "PhotometricInterpretation") or "MONOCHROME2").upper(),
        bits_allocated=allocated,
        bits_stored=values.whole(data_set, "BitsStored") or allocated,
        is_signed=bool(values.whole(data_set, "PixelRepresentation")),
        is_float=opened.pixels in ("FloatPixelData", "DoubleFloatPixelData"),
        is_dated=content_date(data_set) is not None,
        is_cine=described is None and frames > 1,
        has_modality_lut=values.has(data_set, "ModalityLUTSequence"),
        has_detector_spacing=values.has(data_set, "ImagerPixelSpacing"),
        frames_described=described,
        planes=_planes(opened, frames, described),
        selected={keyword: _values(data_set, keyword) for keyword in keywords},
    )


_PATIENT = ("PatientID", "IssuerOfPatientID")
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def _frames_described(data_set: Dataset) -> int | None:
    if not values.has(data_set, "PerFrameFunctionalGroupsSequence"):
        return None
    return len(data_set.PerFrameFunctionalGroupsSequence)


def _planes(opened: Opened, frames: int, described: int | None) -> tuple[Plane, ...]:
    if described is not None:
        worth = describes_its_frames(opened.stored, frames, described)
        return enhanced_planes(opened.data_set) if worth else (Plane(),)
    plane = single_plane(opened.data_set)
    return (plane if frames == 1 else replace(plane, position=None),)  # one cannot hold for every frame of a cine


def _values(data_set: Dataset, keyword: str) -> tuple[str, ...]:
    stated = values.text(data_set, keyword)
    return () if stated is None else (stated, *stated.split("\\"))


def _class_in_meta(data_set: Dataset) -> str | None:
    meta = getattr(data_set, "file_meta", None)
    return None if meta is None else values.text(meta, "MediaStorageSOPClassUID")


def _name(sop_class: str) -> str:
    uid = UID(sop_class)
    return uid.name if uid.is_valid and uid.name != sop_class else kinds.shown(sop_class)
