"""Dividing the cases of a run among the tasks of an array job: by id alone, so that every task agrees."""

from __future__ import annotations

import re
from typing import TypeAlias

Shard: TypeAlias = "tuple[int, int] | None"
"""``(i, n)``, i from 1 to n; None is the whole."""

_MANIFEST = re.compile(r"manifest-(\d+)-of-(\d+)\.jsonl")


def holds(shard: Shard, case_id: str) -> bool:
    """Whether the case (12 hex digits) belongs to the shard."""
    return shard is None or int(case_id, 16) % shard[1] == shard[0] - 1


def manifest_name(shard: Shard) -> str:
    """``manifest.jsonl``, or ``manifest-i-of-n.jsonl``."""
    return "manifest.jsonl" if shard is None else f"manifest-{shard[0]}-of-{shard[1]}.jsonl"


def report_name(shard: Shard) -> str:
    """``report.json``, or ``report-i-of-n.json``."""
    return "report.json" if shard is None else f"report-{shard[0]}-of-{shard[1]}.json"


def token(shard: Shard) -> str:
    """What the temporary files of a shard are called by."""
    return "whole" if shard is None else f"{shard[0]}of{shard[1]}"


def shard_of(name: str) -> Shard:
    """The shard whose manifest is called ``name``. Raises ValueError if no manifest is called so."""
    if name == "manifest.jsonl":
        return None
    match = _MANIFEST.fullmatch(name)
    if match is None:
        raise ValueError(name)
    return int(match[1]), int(match[2])
