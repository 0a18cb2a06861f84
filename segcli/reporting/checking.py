"""Does a JSON value fit a JSON Schema? The keywords that segcli's own schemas use, fast enough for 100,000 cases.

Files of an earlier run are checked before anything of them is used: they may be damaged, edited or hostile. A schema is
turned into functions once; a keyword that is not known here is refused then, so that none is silently passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcli.image import Json

Check = Callable[["Json"], str | None]
"""None if a value fits; otherwise where it does not, e.g. ``.cases[3].status``."""

_PLAIN_NUMBER = {"type", "minimum", "maximum", "description"}
_SAYS_NOTHING = {"$schema", "$defs", "title", "description"}
_KINDS: Mapping[str, Callable[[Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300,
}


def checker(schema: Json, root: Json | None = None) -> Check:
    """The check of a schema. ``root``: what ``$ref`` points into, ``schema`` itself by default.

    Stricter than the standard where that is loose: 1.0 is no integer, NaN and infinity are no numbers, and no number is
    so large that it could not be added up and shown.
    """
    top = schema if root is None else root
    unknown = schema.keys() - _SAYS_NOTHING - _MAKERS.keys() - {"then"}
    if unknown:
        raise ValueError(f"no check for the keywords {sorted(unknown)}")
    makers = dict.fromkeys(make for keyword, make in _MAKERS.items() if keyword in schema)
    checks = [make(schema, top) for make in makers]
    return checks[0] if len(checks) == 1 else _every(checks)


def _every(checks: Sequence[Check]) -> Check:
    def check(value: Json) -> str | None:
        for one in checks:
            wrong = one(value)
            if wrong is not None:
                return wrong
        return None

    return check


def _fits(test: Callable[[Json], bool]) -> Check:
    return lambda value: None if test(value) else ""


def _type(schema: Json, _: Json) -> Check:
    return _fits(_KINDS[schema["type"]])


def _const(schema: Json, _: Json) -> Check:
    return _fits(lambda value: type(value) is type(schema["const"]) and value == schema["const"])


def _enum(schema: Json, _: Json) -> Check:
    allowed = [(type(value), value) for value in schema["enum"]]
    return _fits(lambda value: (type(value), value) in allowed)


def _pattern(schema: Json, _: Json) -> Check:
    found = re.compile(re.sub(r"\$$", r"\\Z", schema["pattern"])).search  # "$" would let a newline follow
    return _fits(lambda value: not isinstance(value, str) or found(value) is not None)


def _limits(schema: Json, _: Json) -> Check:
    low, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    high = schema.get("maximum", math.inf)
    return _fits(lambda value: not isinstance(value, int | float) or (low <= value <= high and value > above))


def _lengths(schema: Json, _: Json) -> Check:
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    return _fits(lambda value: not isinstance(value, list) or least <= len(value) <= most)


def _required(schema: Json, _: Json) -> Check:
    names = frozenset(schema["required"])
    return _fits(lambda value: not isinstance(value, dict) or names <= value.keys())


def _items(schema: Json, root: Json) -> Check:
    if schema["items"].get("type") == "number" and schema["items"].keys() <= _PLAIN_NUMBER:
        return _numbers(schema["items"].get("minimum", -1e300), schema["items"].get("maximum", 1e300))
    one = checker(schema["items"], root)

    def check(value: Json) -> str | None:
        for number, item in enumerate(value if isinstance(value, list) else ()):
            wrong = one(item)
            if wrong is not None:
                return f"[{number}]{wrong}"
        return None

    return check


def _numbers(low: float, high: float) -> Check:
    """Of a whole array at once: a long series has a score of each slice and label."""

    def check(value: Json) -> str | None:
        for number, item in enumerate(value if isinstance(value, list) else ()):
            if type(item) not in (float, int) or not low <= item <= high:  # NaN is not
                return f"[{number}]"
        return None

    return check


def _properties(schema: Json, root: Json) -> Check:
    known = {name: checker(value, root) for name, value in schema.get("properties", {}).items()}
    more = schema.get("additionalProperties", {})
    others: Check = _fits(lambda _: False) if more is False else checker(more, root)

    def check(value: Json) -> str | None:
        for name, item in value.items() if isinstance(value, dict) else ():
            wrong = known.get(name, others)(item)
            if wrong is not None:
                return f".{name if name in known else '*'}{wrong}"  # a key may be a file's word: it is not told
        return None

    return check


def _any_of(schema: Json, root: Json) -> Check:
    ways = [checker(way, root) for way in schema["anyOf"]]
    return _fits(lambda value: any(way(value) is None for way in ways))


def _all_of(schema: Json, root: Json) -> Check:
    return _every([checker(part, root) for part in schema["allOf"]])


def _if(schema: Json, root: Json) -> Check:
    condition, then = checker(schema["if"], root), checker(schema["then"], root)
    return lambda value: then(value) if condition(value) is None else None


def _ref(schema: Json, root: Json) -> Check:
    target = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return checker(target, root)


_MAKERS: Mapping[str, Callable[[Json, Json], Check]] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _limits,
    "exclusiveMinimum": _limits,
    "maximum": _limits,
    "minItems": _lengths,
    "maxItems": _lengths,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _properties,
    "items": _items,
    "anyOf": _any_of,
    "allOf": _all_of,
    "if": _if,
    "$ref": _ref,
}
"""Keyword → what makes its check, in the order in which they are asked."""
