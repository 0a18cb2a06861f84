"""Header values as plain numbers and text; None where one is absent, empty or breaks its rules (PS3.5 section 6).

Values of the simple VRs are taken from their bytes: pydicom's own conversion takes longer than reading the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag


@cache
def tag_of(keyword: str) -> BaseTag | None:
    """The tag of a keyword, in the form that pydicom need not convert at every look-up; None for no keyword."""
    tag = tag_for_keyword(keyword)
    return None if tag is None else Tag(tag)


@cache
def tags_of(keywords: tuple[str, ...]) -> tuple[BaseTag, ...]:
    """Tags of keywords, for pydicom's ``specific_tags``."""
    return tuple(sorted({tag for tag in map(tag_of, keywords) if tag is not None}))


def has(data_set: Dataset, keyword: str) -> bool:
    """Whether the element is there, empty or not."""
    tag = tag_of(keyword)
    return tag is not None and tag in data_set


_ASCII = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"})
"""Text in the default repertoire, values separated by backslash."""

_DECIMAL = frozenset({"DS", "IS"})


def raw(data_set: Dataset, keyword: str) -> Any:
    """The value, or None also where pydicom cannot convert it."""
    try:
        return data_set.get(keyword)
    except Exception:  # noqa: BLE001 - any conversion error of pydicom; the value is then as good as absent
        return None


def text(data_set: Dataset, keyword: str) -> str | None:
    """A single value, or several joined by backslash, without padding; None if empty."""
    texts = _texts(data_set, keyword, _ASCII)
    if texts is not None:
        return "\\".join(texts).strip(" \0") or None
    value = raw(data_set, keyword)
    if value is None:
        return None
    if isinstance(value, (str, bytes)):
        joined = value if isinstance(value, str) else value.decode("latin-1")
    elif isinstance(value, Sequence) or hasattr(value, "__iter__"):
        joined = "\\".join(str(item).strip() for item in value)
    else:
        joined = str(value)
    return joined.strip(" \0") or None


def is_empty(data_set: Dataset, keyword: str) -> bool:
    """Whether the element is absent or has nothing but padding and backslashes for a value."""
    stored = _stored(data_set, keyword)
    if stored is not None:
        return not stored[1].strip(b" \0\\")
    try:
        value = data_set.get(keyword)
    except Exception:  # noqa: BLE001 - what cannot be converted is there
        return False
    return value is None or not str(value).strip(" \0\\[]")


def whole(data_set: Dataset, keyword: str) -> int | None:
    """The first value as an int."""
    stored = _stored(data_set, keyword)
    if stored is not None and stored[0] == "US" and len(stored[1]) >= 2:
        return int.from_bytes(stored[1][:2], "little" if stored[2] else "big")
    value = _first(raw(data_set, keyword))
    try:
        return None if value in (None, "") else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(data_set: Dataset, keyword: str, count: int) -> list[float] | None:
    """``count`` finite numbers; None if there are more or fewer."""
    items: list[Any] | None = _texts(data_set, keyword, _DECIMAL)
    if items is None:
        value = raw(data_set, keyword)
        if value is None or isinstance(value, bytes):
            return None
        if isinstance(value, str):  # of a VR that is none for numbers
            value = value.split("\\")
        items = list(value) if hasattr(value, "__iter__") else [value]
    if len(items) != count:
        return None
    try:
        result = [float(item) for item in items]
    except (TypeError, ValueError):
        return None
    return result if all(math.isfinite(item) for item in result) else None


def number(data_set: Dataset, keyword: str) -> float | None:
    """The first value as a finite float."""
    texts = _texts(data_set, keyword, _DECIMAL)
    value = _first(raw(data_set, keyword)) if texts is None else texts[0]
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def item(data_set: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence."""
    value = raw(data_set, keyword)
    return value[0] if value is not None and not isinstance(value, (str, bytes)) and len(value) else None


def _stored(data_set: Dataset, keyword: str) -> tuple[str, bytes, bool] | None:
    """VR, bytes and whether they are little endian, of an element that pydicom has not converted yet."""
    tag = tag_of(keyword)
    try:
        element = None if tag is None else data_set.get_item(tag)
    except Exception:  # noqa: BLE001 - as in raw()
        return None
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return None
    return element.VR or dictionary_VR(element.tag), element.value, element.is_little_endian


def _texts(data_set: Dataset, keyword: str, representations: frozenset[str]) -> list[str] | None:
    """The values of such an element, without padding; None if it is absent or of another VR."""
    stored = _stored(data_set, keyword)
    if stored is None or stored[0] not in representations:
        return None
    return [text.strip(" \0") for text in stored[1].decode("latin-1").split("\\")]


def _first(value: Any) -> Any:
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        items = list(value)
        return items[0] if items else None
    return value
