"""The check of a schema agrees with jsonschema wherever a file of segcli's may be damaged."""

from __future__ import annotations

import copy
import random
from typing import Any

import jsonschema
import pytest
from test_content import content, done, failed

from segcli.reporting.checking import checker
from segcli.reporting.content import load_schema

VALUES = (None, True, 0, -1, 7, 0.5, "", "done", "failed", "0" * 64, "0" * 64 + "\n", "LPS", [], [1, 2], {}, {"x": 1})


def edited(value: Any, chance: random.Random) -> Any:
    value = copy.deepcopy(value)
    places = [(value, key) for key in value]
    for holder, key in places:
        inner = holder[key]
        if isinstance(inner, dict | list):
            places += [(inner, one) for one in (inner if isinstance(inner, dict) else range(len(inner)))]
    holder, key = chance.choice(places)
    if chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = chance.choice(VALUES)
    return value


def test_it_agrees_with_jsonschema() -> None:
    report = content(done(1), failed(2, "b.png"), done(3, "c.png", status="unchanged", presence=None))
    check, judge = checker(load_schema()), jsonschema.Draft202012Validator(load_schema())
    assert check(report) is None
    chance = random.Random(3)
    verdicts = []
    for _ in range(1500):
        other = edited(report, chance)
        verdicts.append(check(other) is None)
        # Python's "$" and so jsonschema's lets a newline follow; the check does not
        assert verdicts[-1] == judge.is_valid(other) or "\\n" in repr(other), other
    assert 100 < sum(verdicts) < 1400


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "number"}, float("nan")),
        ({"type": "number"}, 10**400),
        ({"type": "integer"}, 2**64),
        ({"type": "integer"}, True),
        ({"const": 1}, True),
        ({"enum": [0, 1]}, 1.0),
        ({"items": {"type": "number", "enum": [1, 2]}}, [1, 3]),
        ({"items": {"type": "number", "exclusiveMinimum": 0}}, [1, 0]),
        ({"items": {"type": "number", "maximum": 1}}, [1, 2]),
        ({"type": "string", "pattern": "^a$"}, "a\n"),
    ],
)
def test_it_is_stricter_where_python_is_loose(schema: Any, value: Any) -> None:
    assert checker(schema)(value) is not None


def test_a_keyword_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="multipleOf"):
        checker({"properties": {"x": {"type": "integer", "multipleOf": 2}}})
    with pytest.raises(ValueError, match="multipleOf"):
        checker({"items": {"type": "number", "multipleOf": 2}})


def test_the_place_is_told_and_no_word_of_the_file() -> None:
    report = content(done(1), done(2, "b.png"))
    report["cases"][1]["volumes"]["Doe^Jane"] = {"pixels": -1, "mm3": None}
    assert checker(load_schema())(report) == ".cases[1].volumes.*.pixels"
