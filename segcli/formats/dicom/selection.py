"""``--select KEY=VALUE``: DICOM keywords, values with ``*``, both without regard to case.

Different keys must all match, of one key's values any. Of several values of one element any may match, or all of them
joined by backslash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pydicom.datadict import keyword_dict

from segcli.errors import UsageError


def select_keywords(select: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The keywords as DICOM spells them, each once. Raises UsageError for a word that is no DICOM keyword."""
    known = {word.lower(): word for word in keyword_dict}
    found: dict[str, None] = {}
    for key, _ in select:
        if key.lower() not in known:
            raise UsageError(f"--select {key}=...: there is no DICOM keyword {key}: try Modality or SeriesDescription")
        found[known[key.lower()]] = None
    return tuple(found)


def matches(values: Mapping[str, Sequence[str]], select: Sequence[tuple[str, str]]) -> bool:
    """Whether an instance with these values (by keyword) is selected; every instance is if ``select`` is empty."""
    stated = {keyword.lower(): [value.lower() for value in found] for keyword, found in values.items()}
    wanted: dict[str, list[str]] = {}
    for key, value in select:
        wanted.setdefault(key.lower(), []).append(value.lower())
    return all(
        any(fnmatchcase(value, _pattern(pattern)) for value in stated.get(key, ()) for pattern in patterns)
        for key, patterns in wanted.items()
    )


def _pattern(text: str) -> str:
    """Only ``*`` is special: brackets and question marks stand for themselves."""
    return "".join(
        character if character == "*" else f"[{character}]" if character in "[?" else character for character in text
    )
