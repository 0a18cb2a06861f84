"""The lines of a manifest: what each may hold. Nothing of a line is used before it has been checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import BinaryIO

from segcli.image import Json
from segcli.outcome import Outcome
from segcli.reporting.checking import Check, checker
from segcli.reporting.content import DEFAULTS, RunFacts, load_schema
from segcli.settings import MAX_TILES

SCHEMA = 1
LONGEST = 64 * 2**20
"""Bytes of a line; a series of 100,000 instances takes a tenth of it."""

_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_CASE_ID = {"type": "string", "pattern": "^[0-9a-f]{12}$"}
_COUNT = {"type": "integer", "minimum": 0}
_PATH = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_STAT = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
}
_CHOSEN = {
    "precision": {"enum": ["float32", "bfloat16", "float16"]},
    "batch": {"type": "integer", "minimum": 1, "maximum": MAX_TILES},
    "device": {"type": "string"},
    "made_for": _HASH,
}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@cache
def checks() -> dict[str, Check]:
    """First word of an event → its check."""
    report = load_schema()
    case = report["$defs"]["case"]
    outcome = {
        **case,
        "properties": {**case["properties"], "stat": _STAT},
        "required": [*case["required"], "stat"],
    }
    facts = {name: report["properties"][name] for name in RunFacts.__dataclass_fields__}
    schemas = {
        "segcli_manifest": _object(
            {"segcli_manifest": {"const": SCHEMA}, "fingerprint": _HASH, "chosen": {**_object(_CHOSEN), "required": []}}
        ),
        "run": _object(facts),
        "found": _object({"found": _COUNT, "planned": _COUNT}),
        "started": _object({"started": _CASE_ID, "output": _PATH}),
        "outcome": _object({"outcome": outcome}),
        "ended": _object({"ended": {"const": True}}),
    }
    return {word: checker(schema, report) for word, schema in schemas.items()}


def kind_of(event: Json) -> str | None:
    """The first word of an event; None if it is no event of a manifest."""
    if not isinstance(event, dict):
        return None
    return next((word for word in checks() if word in event), None)


def fault_of(event: Json) -> str | None:
    """Where an event is not as segcli writes it, or None. An outcome gets the fields that it lacks."""
    word = kind_of(event)
    if word is None:
        return ""
    if word == "outcome" and isinstance(event[word], dict):
        known = {name: value for name, value in event[word].items() if name in Outcome.__dataclass_fields__}
        event[word] = {**DEFAULTS, **known}
    return checks()[word](event)


def parsed(line: bytes) -> Json:
    """The JSON of a line. Raises ValueError for what is none: a line that a crash cut short."""
    try:
        return json.loads(line, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a manifest; of one that is longer than :data:`LONGEST` the beginning, which is no JSON."""
    while line := stream.readline(LONGEST):
        yield line
        while len(line) == LONGEST and not line.endswith(b"\n"):
            line = stream.readline(LONGEST)
