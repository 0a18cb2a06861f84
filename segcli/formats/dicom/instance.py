"""What grouping must know of one file, from its header alone: a small JSON dict.

``patient study series sop sop_class syntax modality body_part rows columns samples photometric bits for type frames
planes`` are header values under short names; ``dated``: whether any date is usable; ``cine``: frames without positions
of their own; ``select``: the values of the keywords asked for; ``notes``: reduced library warnings; ``fault``: why it
cannot be decoded although it belongs to a series.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from segcli.image import Json
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


def describe_instance(path: Path, keywords: Sequence[str] = ()) -> Json:
    """Read the header of ``path``; see the module for what comes back.

    ``keywords``: further elements whose values ``--select`` compares. Raises SkippedCase (no image for us),
    UnreadableError (damaged before it can be told to which series it belongs).
    """
    tags = values.tags_of((*_KEYWORDS, *TIME_KEYWORDS, *keywords))
    with quiet() as notes, open_regular(path) as stream:
        opened = open_header(stream, tags)
        record = _record(opened)
        record["select"] = {keyword: _values(opened.data_set, keyword) for keyword in keywords}
    record["notes"] = notes
    return record


def _record(opened: Opened) -> dict[str, Json]:
    data_set = opened.data_set
    sop_class = values.text(data_set, "SOPClassUID") or _class_in_meta(data_set)
    if sop_class is None:
        raise SkippedCase("a DICOM file without SOP class: no image")
    modality = values.text(data_set, "Modality")
    reason = kinds.reason_to_skip(sop_class, modality, values.has(data_set, "TotalPixelMatrixColumns"))
    if reason is not None:
        raise SkippedCase(reason)
    if kinds.is_video(opened.syntax):
        raise SkippedCase(f"a video (transfer syntax {opened.syntax}): segcli reads still frames only")
    rows, columns = values.whole(data_set, "Rows"), values.whole(data_set, "Columns")
    if opened.pixels is None and not (kinds.is_image_class(sop_class) and (opened.cut or rows)):
        raise SkippedCase(f"no image in it ({_name(sop_class)})")
    identity = {key: values.text(data_set, keyword) for key, keyword in _IDENTITY}
    if None in identity.values():
        raise UnreadableError("an image whose study, series or instance UID is missing: it belongs to no series")
    frames = max(1, values.whole(data_set, "NumberOfFrames") or 1)
    record: dict[str, Json] = {
        **identity,
        "sop_class": sop_class,
        "syntax": opened.syntax,
        "modality": modality if modality is None or modality in kinds.MODALITIES else "?",
        "body_part": (values.text(data_set, "BodyPartExamined") or "")[:64],
        "patient": "\\".join(values.text(data_set, keyword) or "" for keyword in _PATIENT),
        "rows": rows or 0,
        "columns": columns or 0,
        "samples": values.whole(data_set, "SamplesPerPixel") or 1,
        "photometric": (values.text(data_set, "PhotometricInterpretation") or "MONOCHROME2").upper(),
        "bits": _bits(data_set),
        "for": values.text(data_set, "FrameOfReferenceUID"),
        "type": (values.text(data_set, "ImageType") or "").upper(),
        "frames": frames,
        "dated": content_date(data_set) is not None,
        "lut": values.has(data_set, "ModalityLUTSequence"),
        "float": opened.pixels in ("FloatPixelData", "DoubleFloatPixelData"),
        "detector_spacing": values.has(data_set, "ImagerPixelSpacing"),
    }
    if values.has(data_set, "PerFrameFunctionalGroupsSequence"):
        record["described"] = described = len(data_set.PerFrameFunctionalGroupsSequence)
        worth = describes_its_frames(opened.stored, frames, described)
        record["planes"] = enhanced_planes(data_set) if worth else [{}]
    elif frames == 1:
        record["planes"] = [single_plane(data_set)]
    else:
        plane = single_plane(data_set)
        plane.pop("p", None)  # one position cannot hold for every frame of a cine
        record["planes"] = [plane]
        record["cine"] = True
    fault = fault_of(opened, record)
    if fault is not None:
        record["fault"] = fault
    return record


_PATIENT = ("PatientID", "IssuerOfPatientID")
_IDENTITY = (("study", "StudyInstanceUID"), ("series", "SeriesInstanceUID"), ("sop", "SOPInstanceUID"))


def _bits(data_set: Dataset) -> list[int]:
    """Bits allocated, bits stored, high bit, signed (0 or 1); what is missing follows from bits allocated."""
    allocated = values.whole(data_set, "BitsAllocated") or 0
    stored = values.whole(data_set, "BitsStored") or allocated
    high = values.whole(data_set, "HighBit")
    return [allocated, stored, stored - 1 if high is None else high, values.whole(data_set, "PixelRepresentation") or 0]


def _values(data_set: Dataset, keyword: str) -> list[str]:
    stated = values.text(data_set, keyword)
    return [] if stated is None else [stated, *stated.split("\\")]


def _class_in_meta(data_set: Dataset) -> str | None:
    meta = getattr(data_set, "file_meta", None)
    return None if meta is None else values.text(meta, "MediaStorageSOPClassUID")


def _name(sop_class: str) -> str:
    name = UID(sop_class).name
    return kinds.shown(sop_class) if name == sop_class else name
