"""What a SEG takes over from the headers of its source, and how: decoded text, nothing private (PS3.3 C.7.1, C.7.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from segcli.formats.dicom import kinds, values
from segcli.formats.dicom.data_set import open_header
from segcli.formats.dicom.dates import UNKNOWN, content_date

_LOSSY_KEYWORDS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_LOSSY_TAGS = [tag_for_keyword(keyword) or 0 for keyword in _LOSSY_KEYWORDS]
_UNDECODABLE = "\ufffd"


@dataclass(frozen=True)
class Source:
    """``header``: the first file's elements, text decoded, private ones removed. ``date``: DA and TM for the SEG.

    ``lossy``: whether any instance was ever compressed with loss; ``ratios`` and ``methods`` as far as stated.
    """

    header: Dataset
    date: tuple[str, str]
    lossy: bool
    ratios: tuple[str, ...]
    methods: tuple[str, ...]


def read_source(files: Sequence[Path]) -> Source:
    """Read the headers of a case's files again, without pixels; the first stands for the patient and the study."""
    with files[0].open("rb") as stream:
        header = open_header(stream, ()).data_set
    _decode(header)
    header.remove_private_tags()
    lossy, ratios, methods = False, dict[str, None](), dict[str, None]()
    for path in files:
        with path.open("rb") as stream:
            opened = open_header(stream, _LOSSY_TAGS)
        lossy |= values.text(opened.data_set, "LossyImageCompression") == "01" or opened.syntax in kinds.LOSSY
        ratios |= dict.fromkeys(_each(opened.data_set, "LossyImageCompressionRatio"))
        methods |= dict.fromkeys(_each(opened.data_set, "LossyImageCompressionMethod"))
    return Source(header, content_date(header) or UNKNOWN, lossy, tuple(ratios), tuple(methods))


def _each(data_set: Dataset, keyword: str) -> list[str]:
    return (values.text(data_set, keyword) or "").split("\\") if values.text(data_set, keyword) else []


def _decode(header: Dataset) -> None:
    """Turn all text into Unicode. Bytes that the declared character set does not explain are taken as Latin-1."""
    raw = {element: header.get_item(element) for element in header.keys()}  # noqa: SIM118 - elements stay unread
    undecoded = {tag: getattr(item, "value", None) for tag, item in raw.items()}
    header.decode()
    for tag, data in undecoded.items():
        if isinstance(data, bytes) and _UNDECODABLE in str(header[tag].value):
            header[tag].value = _multiple(data.decode("latin-1").strip(" \0"))
    header.SpecificCharacterSet = "ISO_IR 192"


def _multiple(text: str) -> Any:
    return MultiValue(str, text.split("\\")) if "\\" in text else text
