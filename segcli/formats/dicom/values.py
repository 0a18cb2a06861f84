"""Header values as plain numbers and text; None where one is absent, empty or breaks its rules (PS3.5 section 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset


def raw(data_set: Dataset, keyword: str) -> Any:
    """The value, or None also where pydicom cannot convert it."""
    try:
        return data_set.get(keyword)
    except Exception:  # noqa: BLE001 - any conversion error of pydicom; the value is then as good as absent
        return None


def text(data_set: Dataset, keyword: str) -> str | None:
    """A single value, or several joined by backslash, without padding; None if empty."""
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


def whole(data_set: Dataset, keyword: str) -> int | None:
    """The first value as an int."""
    value = _first(raw(data_set, keyword))
    try:
        return None if value in (None, "") else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(data_set: Dataset, keyword: str, count: int) -> list[float] | None:
    """``count`` finite numbers; None if there are more or fewer."""
    value = raw(data_set, keyword)
    if value is None or isinstance(value, (str, bytes)):
        return None
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
    value = _first(raw(data_set, keyword))
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def item(data_set: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence."""
    value = raw(data_set, keyword)
    return value[0] if value is not None and not isinstance(value, (str, bytes)) and len(value) else None


def _first(value: Any) -> Any:
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        items = list(value)
        return items[0] if items else None
    return value
