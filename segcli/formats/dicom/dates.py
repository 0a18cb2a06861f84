"""The date a SEG carries comes from its source, so that the same input gives the same file on any day."""

from __future__ import annotations

import re
from datetime import datetime

from pydicom.dataset import Dataset

from segcli.formats.dicom import values

UNKNOWN = ("19000101", "000000")
"""Written where the source has no usable date at all; the case's warnings say so."""

_LEVELS = ("Content", "Acquisition", "Series", "Study")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")


def content_date(data_set: Dataset) -> tuple[str, str] | None:
    """Date and time (DA, TM) of content, acquisition, series or study, the first that has a true calendar date.

    A time that breaks the rules of PS3.5 table 6.2-1 counts as midnight.
    """
    for level in _LEVELS:
        date = values.text(data_set, f"{level}Date")
        if date is not None and _is_date(date):
            time = values.text(data_set, f"{level}Time")
            return date, time if time is not None and _TIME.fullmatch(time) else "000000"
    moment = values.text(data_set, "AcquisitionDateTime")
    if moment is not None and _is_date(moment[:8]):
        time = re.split(r"[+-]", moment[8:])[0]
        return moment[:8], time if _TIME.fullmatch(time) else "000000"
    return None


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"\d{8}", text):
        return False
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True
