"""Label maps of a DICOM case → one DICOM Segmentation (PS3.3 A.51, C.8.20), the same file for the same input."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from segcli.case import Case
from segcli.contract import ModelCard
from segcli.errors import WriteError
from segcli.formats.dicom import repairs
from segcli.formats.dicom.earlier import replaced
from segcli.formats.dicom.quiet import quiet
from segcli.formats.dicom.records import dicom_case
from segcli.formats.dicom.source import Source, read_source
from segcli.formats.dicom.space import has_planes
from segcli.formats.dicom.stand_ins import put_references, stand_ins
from segcli.formats.dicom.terms import plain, private_schemes, segment_descriptions
from segcli.formats.dicom.uids import derived_uid
from segcli.formats.interface import MaskRequest
from segcli.image import LabelMap
from segcli.settings import PredictSettings

_PLACEHOLDER = "2.25.0"
BY_SOFTWARE = "Made by software, not for diagnosis"
_PARAMETERS = ("dicom_seg", "gate", "overlap", "precision", "spacing", "channel")


def write(target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
    """Write the label map of ``case`` to ``target`` as BINARY (or LABELMAP) SEG, Explicit VR Little Endian.

    With ``dicom_deflate`` the same data set is deflated, and its instance UID another one.
    ``masks``: one label map ``[slice, row, column]``, slices in the order of the case, 0 or values of the card.
    Raises WriteError where it does not fit the case or the card.
    """
    numbers = segment_numbers(request)
    pixels = to_segments(masks, case, numbers)
    with quiet():
        source = read_source(case.files)
        seg = _segmentation(pixels, case, request, numbers)
        _repair(seg, case, pixels, request.settings)
        _describe(seg, case, source, request)
        _set_file_meta(seg, request)
        repairs.set_dimension_uid(seg, derived_uid("dimensions", str(seg.SeriesInstanceUID), case.id))
        # Hashed before it is deflated, for zlib may pack the same bytes differently elsewhere.
        syntax = DeflatedExplicitVRLittleEndian if request.settings.dicom_deflate else ExplicitVRLittleEndian
        uid = derived_uid("instance", _encoded(seg), syntax)
        seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        seg.file_meta.TransferSyntaxUID = syntax  # highdicom can only make the plain one
        target.write_bytes(_encoded(seg))


def segment_numbers(request: MaskRequest) -> dict[int, int]:
    """Label value → segment number: 1..N in the order of the card for BINARY, the value itself for LABELMAP."""
    labels = [label.value for label in request.card.labels]
    if request.settings.dicom_seg == "labelmap":
        return {value: value for value in sorted(labels)}
    return {value: number for number, value in enumerate(labels, 1)}


def to_segments(masks: Sequence[LabelMap], case: Case, numbers: dict[int, int]) -> NDArray[Any]:
    """``[slice, row, column]`` of segment numbers, uint8 or uint16. Raises WriteError on other shapes or values."""
    expected = dicom_case(case).shape
    if len(masks) != 1 or masks[0].pixels.shape != expected:
        raise WriteError(f"the mask has not the shape {expected} of its DICOM case")
    unknown = 1 << 16
    table = np.full(1 << 16, unknown, np.uint32)
    table[0] = 0
    for value, number in numbers.items():
        table[value] = number
    pixels = table[masks[0].pixels]
    if pixels.max(initial=0) == unknown:
        raise WriteError("the mask holds a value that the model's card does not name")
    return np.asarray(pixels.astype(np.uint8 if max(numbers.values(), default=0) < 256 else np.uint16))


def _segmentation(pixels: NDArray[Any], case: Case, request: MaskRequest, numbers: dict[int, int]) -> Dataset:
    card = request.card
    descriptions: list[SegmentDescription] = segment_descriptions(card, numbers)
    series = derived_uid("series", dicom_case(case).series_uid, case.id, *_model(card), *_parameters(request.settings))
    return Segmentation(
        source_images=stand_ins(case, request.settings),
        pixel_array=pixels,
        segmentation_type=request.settings.dicom_seg.upper(),
        segment_descriptions=descriptions,
        series_instance_uid=series,
        series_number=1,
        sop_instance_uid=_PLACEHOLDER,
        instance_number=1,
        manufacturer="segcli",
        manufacturer_model_name=plain(card.name, "segcli model"),
        software_versions=(
            plain(f"segcli {request.segcli_version}", "segcli"),
            plain(f"model {card.version}", "model"),
        ),
        device_serial_number=(card.sha256 or derived_uid("model", *_model(card)))[:16],
        content_label="SEGMENTATION",
        content_description=plain(f"{_flag(request)}{BY_SOFTWARE}: {card.name} {card.version}", BY_SOFTWARE),
        series_description=_series_description(request),
        specific_character_set="ISO_IR 192",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=bool(pixels.any()),
    )


def _model(card: ModelCard) -> tuple[str, str, str]:
    return card.name, card.version, card.sha256


def _parameters(settings: PredictSettings) -> tuple[str, ...]:
    """Settings that change what is found: masks made in two ways are two series, not two versions of one."""
    return tuple(f"{name}={getattr(settings, name)}" for name in _PARAMETERS)


def _repair(seg: Dataset, case: Case, pixels: NDArray[Any], settings: PredictSettings) -> None:
    repairs.unshare_segment(seg)
    if has_planes(case, settings):
        repairs.set_slice_spacing(seg, case)
    else:
        repairs.remove_space(seg, case)
    put_references(seg, case, settings)
    repairs.remove_equipment(seg)
    bits = int(seg.NumberOfFrames) * pixels.shape[1] * pixels.shape[2] * int(seg.BitsAllocated)
    repairs.zero_pad_byte(seg, (bits + 7) // 8)


def _describe(seg: Dataset, case: Case, source: Source, request: MaskRequest) -> None:
    """Patient and study as in the source, dates, loss, series number, coding schemes."""
    seg.update(source.carried)
    repairs.set_dates(seg, *source.date)
    if not has_planes(case, request.settings):  # type 2C: required where there is no image orientation (C.7.6.1)
        seg.PatientOrientation = source.patient_orientation
    if source.lossy:  # C.8.20.2.2: 01 if any source ever was; ratio and method as far as the sources state them
        seg.LossyImageCompression = "01"
        if source.ratios:
            seg.LossyImageCompressionRatio = list(source.ratios)
        if source.methods:
            seg.LossyImageCompressionMethod = list(source.methods)
    predecessor = None if request.earlier is None else replaced(request.earlier, case)
    comments = [*request.notes, *([] if predecessor is None else [predecessor])]
    if comments:
        seg.ImageComments = "; ".join(comments).replace("×", "x")
    seg.SeriesNumber = _series_number(source.series_number, request.card)
    schemes = private_schemes(request.card)
    if schemes:
        items = []
        for scheme in schemes:
            item = Dataset()
            item.CodingSchemeDesignator = scheme
            items.append(item)
        seg.CodingSchemeIdentificationSequence = DicomSequence(items)


def _set_file_meta(seg: Dataset, request: MaskRequest) -> None:
    """highdicom's and pydicom's own names stand there otherwise, and change with their versions."""
    seg.file_meta.ImplementationClassUID = UID(derived_uid("implementation", "segcli"))
    seg.file_meta.ImplementationVersionName = f"SEGCLI {request.segcli_version}"[:16].strip()


def _series_description(request: MaskRequest) -> str:
    """Model, what it is not for, and what it looks for; nothing of the patient's."""
    card = request.card
    found = ", ".join(label.name for label in card.labels)
    return plain(f"{_flag(request)}Not for diagnosis: {card.name} {card.version}: {found}", "Not for diagnosis")


def _flag(request: MaskRequest) -> str:
    """The first thing a viewer shows where there is something to be told; the notes themselves are Image Comments."""
    return f"{request.notes[0].partition(':')[0].upper()}: " if request.notes else ""


def _series_number(source: int, card: ModelCard) -> int:
    """Distinct from the source's and for each model, so that viewers do not show two series under one number."""
    model = int(derived_uid("number", *_model(card)).removeprefix("2.25.")) % 900
    return source % 100_000 * 1000 + 100 + model


def _encoded(seg: Dataset) -> bytes:
    buffer = BytesIO()
    seg.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
