"""What a SEG needs from the headers of its source, read again without pixels: decoded text, nothing private."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from segcli.formats.dicom import kinds, values
from segcli.formats.dicom.carried import CARRIED, EMPTY_IF_ABSENT
from segcli.formats.dicom.data_set import open_header
from segcli.formats.dicom.dates import UNKNOWN, content_date
from segcli.regular_file import open_regular

_DATES = ("ContentDate", "ContentTime", "AcquisitionDate", "AcquisitionTime", "SeriesDate", "SeriesTime")
_NEEDED = (*CARRIED, *_DATES, "AcquisitionDateTime", "SeriesNumber", "PatientOrientation", "SpecificCharacterSet")
_TAGS = sorted({tag for tag in map(tag_for_keyword, _NEEDED) if tag is not None})
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_LOSSY_TAGS = sorted(tag for tag in map(tag_for_keyword, _LOSSY) if tag is not None)
_TEXT = frozenset(
    {*("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT"), *("PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")}
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NUMBER_TEXT = frozenset({"DS", "IS"})
_AGE = re.compile(r"\d{3}[DWMY]")
_ESCAPE = re.compile("\x1b\\$?[()\\-][A-Z]")
_UNDECODABLE = "\ufffd"


@dataclass(frozen=True)
class Source:
    """``carried``: elements for the SEG, text decoded. ``date``: DA and TM. ``series_number``: 0 if there is none.

    ``patient_orientation``: as text, empty if unknown. ``lossy``: whether any instance was ever compressed with loss;
    ``ratios`` and ``methods`` as far as stated.
    """

    carried: Dataset
    date: tuple[str, str]
    series_number: int
    patient_orientation: str
    lossy: bool
    ratios: tuple[str, ...]
    methods: tuple[str, ...]


def read_source(files: Sequence[Path]) -> Source:
    """Read the headers of a case's files; the first stands for the patient and the study."""
    with open_regular(files[0]) as stream:
        header = open_header(stream, _TAGS).data_set
    lossy, ratios, methods = False, dict[str, None](), dict[str, None]()
    for path in files:
        with open_regular(path) as stream:
            opened = open_header(stream, _LOSSY_TAGS)
        lossy |= values.text(opened.data_set, "LossyImageCompression") == "01" or opened.syntax in kinds.LOSSY
        ratios |= dict.fromkeys(_each(opened.data_set, "LossyImageCompressionRatio"))
        methods |= dict.fromkeys(_each(opened.data_set, "LossyImageCompressionMethod"))
    return Source(
        carried=_carried(header),
        date=content_date(header) or UNKNOWN,
        series_number=max(0, values.whole(header, "SeriesNumber") or 0),
        patient_orientation=values.text(header, "PatientOrientation") or "",
        lossy=lossy,
        ratios=tuple(ratios),
        methods=tuple(methods),
    )


def _each(data_set: Dataset, keyword: str) -> list[str]:
    stated = values.text(data_set, keyword)
    return [] if stated is None else stated.split("\\")


def _carried(header: Dataset) -> Dataset:
    result = Dataset()
    for keyword in CARRIED:
        if keyword in header:
            element = _decoded(header, tag_for_keyword(keyword) or 0)
            if element is not None and not _is_bad_age(element):
                result.add(element)
    for keyword in EMPTY_IF_ABSENT:
        if keyword not in result:
            setattr(result, keyword, "")
    return result


def _is_bad_age(element: DataElement) -> bool:
    """A patient's age as a bare number, say: it may be left out (type 3), and copied it makes the SEG invalid."""
    return element.VR == "AS" and bool(element.value) and not _AGE.fullmatch(str(element.value))


def _is_number_text(stored: bytes | None, value: Any) -> bool:
    """Whether a DS or IS is what its VR asks: numbers of at most 16 characters each."""
    text = stored.decode("latin-1") if isinstance(stored, bytes) else "" if value is None else str(value)
    parts = [part.strip(" \0") for part in text.split("\\")]
    return all(len(part) <= 16 and (not part or _NUMBER.fullmatch(part)) for part in parts)


def _is_undecoded(stored: bytes, text: str) -> bool:
    """Whether decoding has put a replacement character where the bytes hold none."""
    return _UNDECODABLE in text and _UNDECODABLE.encode() not in stored


def _decoded(header: Dataset, tag: int) -> DataElement | None:
    """The element as Unicode text, in the VR of the dictionary; None for one that is no text and cannot be read.

    Bytes which the declared character set does not explain are taken as Latin-1: every byte has a meaning there.
    """
    stored = getattr(header.get_item(tag), "value", None)  # bytes, as long as nobody has asked for the value
    representation = dictionary_VR(tag)
    try:
        element = header[tag]
        if element.VR == "SQ":
            for item in element.value:
                item.remove_private_tags()
                item.decode()
            return element
        value = element.value
    except Exception:  # noqa: BLE001 - any conversion error of pydicom
        value = None
    if representation in _NUMBER_TEXT and not _is_number_text(stored, value):
        return None  # "70,5" kilograms: it may be left out (type 3), and copied it makes the SEG invalid
    if representation not in _TEXT:
        return None if value is None else DataElement(tag, representation, value)
    if isinstance(stored, bytes) and (value is None or isinstance(value, bytes) or _is_undecoded(stored, str(value))):
        value = stored.decode("latin-1").rstrip(" \0")
    if isinstance(value, (str, PersonName)) and "\x1b" in str(value):
        value = _ESCAPE.sub("", str(value))  # pydicom leaves those of ISO 2022 IR 58 in; UTF-8 has none
    return DataElement(tag, representation, str(value) if representation == "PN" and value is not None else value)
