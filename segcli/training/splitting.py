"""Groups (patients), and their split into training, validation and test. No group is ever in two of them.

Slices or cases of one patient are anything but independent: a split that tears them apart measures memory.
"""

from __future__ import annotations

import csv
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import UsageError
from segcli.regular_file import read_regular


@dataclass(frozen=True)
class Split:
    """Groups by what they are used for."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def group_by_folder(names: Iterable[str]) -> dict[str, str]:
    """Cases below one folder of the data set are one group, for it may be a patient's; any other is one by itself.

    The uppermost folder counts: at worst too much is kept together, never too little.
    """
    return {name: name.split("/", 1)[0] + "/" if "/" in name else name for name in names}


def groups_from_pattern(names: Sequence[str], pattern: str) -> dict[str, str]:
    """Case → what the pattern finds in its name: its first parenthesised part, or all it matches."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-pattern {pattern!r} is no regular expression: {error}") from error
    groups = {}
    for name in names:
        match = expression.search(name)
        if match is None:
            raise UsageError(f"--group-pattern {pattern!r} does not match the case {name}")
        groups[name] = match[1] if expression.groups else match[0]
    return groups


def groups_from_file(names: Sequence[str], path: Path) -> dict[str, str]:
    """Case → group from a JSON object ``{case: group}`` or a CSV file of two columns, ``case,group``.

    Raises UsageError for a file that is neither, or that does not name one of the cases.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
        listed = _json_groups(text) if path.suffix.lower() == ".json" else _csv_groups(text)
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--groups {path}: cannot be read as case,group lines or a JSON object: {why}") from error
    missing = [name for name in names if name not in listed]
    if missing:
        more = "" if len(missing) == 1 else f" (and {len(missing) - 1} more)"
        raise UsageError(f"--groups {path}: the case {missing[0]}{more} is not listed")
    return {name: listed[name] for name in names}


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def split_groups(groups: Iterable[str], validation: float, test: float, seed: int) -> Split:
    """A seeded split. ``validation`` and ``test``: a share of the groups below 1, or how many.

    Raises UsageError if nothing is left for training.
    """
    shuffled = sorted(set(groups), key=_natural)
    total = len(shuffled)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - reproducible, not secret
    held, tested = (_count(wanted, total) for wanted in (validation, test))
    if total - held - tested < 1:
        raise UsageError(
            f"{total} group(s) are too few: {held} for validation and {tested} for test leave none for training; "
            "lower --validation and --test, or say with --groups which cases belong together"
        )
    return Split(
        train=tuple(sorted(shuffled[held + tested :], key=_natural)),
        validation=tuple(sorted(shuffled[:held], key=_natural)),
        test=tuple(sorted(shuffled[held : held + tested], key=_natural)),
    )


def _count(wanted: float, total: int) -> int:
    if wanted >= 1:
        return int(wanted)
    return max(1, round(wanted * total)) if wanted > 0 else 0


def _natural(text: str) -> tuple[int, int, str]:
    """Numbers by value, before words."""
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def _json_groups(text: str) -> Mapping[str, str]:
    value = json.loads(text, object_pairs_hook=tuple)  # an object of JSON may hold a name twice
    if not isinstance(value, tuple):
        raise ValueError("it must hold one JSON object")
    return _once((str(case), str(group)) for case, group in value)


def _csv_groups(text: str) -> Mapping[str, str]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if any(len(row) != 2 for row in rows):
        raise ValueError("every line must be case,group")
    return _once((case.strip(), group.strip()) for case, group in rows)


def _once(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Case → group. Raises ValueError for a case in two groups: its patient would be in two parts of the data."""
    listed: dict[str, str] = {}
    for case, group in pairs:
        if listed.setdefault(_composed(case), group) != group:
            raise ValueError(f"the case {case} is listed twice, in different groups")
    return listed
