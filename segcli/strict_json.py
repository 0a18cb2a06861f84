"""JSON that somebody else wrote, read strictly: no field twice, no number beyond use, nothing nested without end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.regular_file import read_regular

MOST_BYTES = 4 * 2**20
MOST_DEPTH = 32
MOST_DIGITS = 20
"""How large a file may be, how deep objects and lists may lie in each other, how long a whole number may be."""


def parse_object(text: str) -> dict[str, Any]:
    """The object in a JSON text. Raises ValueError; its words follow the name of the file: "is not …", "holds …"."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
            parse_int=_whole_number,
            parse_float=_finite_number,
        )
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("must hold one JSON object")
    _refuse_depth(value)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair is valid JSON, and can be written nowhere
        raise ValueError("holds text that is no Unicode") from error
    return value


def read_object(path: Path, limit: int = MOST_BYTES) -> dict[str, Any]:
    """The object in a JSON file of at most ``limit`` bytes that the user wrote. Raises UsageError."""
    try:
        return parse_object(read_regular(path, limit).decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text in UTF-8") from error
    except ValueError as error:
        raise UsageError(f"{path} {error}") from error


TOO_DEEP = f"holds objects or lists more than {MOST_DEPTH} deep"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the field {key[:80]!r} stands twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):  # 1e999 is valid JSON
        raise ValueError(f"{digits[:40]} is larger than any number")
    return number


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]
        if not level:
            return
    raise ValueError(TOO_DEEP)
