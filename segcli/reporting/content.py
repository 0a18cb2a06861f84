"""``report.json``: a pure function of what the run was and what became of its cases; and the way back from it.

Its JSON Schema lies beside this file (:data:`SCHEMA_NAME`) and describes every field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.exit_code import EARLY
from segcli.outcome import REPORT_SCHEMA, Outcome, Report
from segcli.regular_file import read_regular
from segcli.reporting.checking import checker

if TYPE_CHECKING:
    from segcli.image import Json

SCHEMA_NAME = "report.schema.json"
LARGEST = 2**31
"""Bytes of a report that is read; 100,000 cases take a tenth of it."""
NOT_TOLD = ("stat",)
"""Fields of an outcome that only the next run needs."""
DEFAULTS = json.loads(json.dumps(Outcome("", "", "skipped").to_json()))
for _needed in ("id", "name", "status"):
    del DEFAULTS[_needed]
"""Fields that an outcome written by an earlier version may lack, with the values they then have."""


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before its first case; the manifest keeps it too.

    ``run``: 8 hex digits that tell it from others. ``begun``: UTC, ISO 8601. ``model``, ``machine``, ``settings``,
    ``versions``: objects of the report under the same names.
    """

    run: str
    begun: str
    versions: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Json] = field(default_factory=dict)
    machine: Mapping[str, Json] = field(default_factory=dict)
    settings: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> Json:
        """A JSON object with every field."""
        return {
            "run": self.run,
            "begun": self.begun,
            "versions": dict(self.versions),
            "model": dict(self.model),
            "machine": dict(self.machine),
            "settings": dict(self.settings),
        }


def report_content(facts: RunFacts, report: Report) -> Json:
    """The report as values that ``json.dumps`` takes; ``report.schema.json`` describes it."""
    return {
        "schema": REPORT_SCHEMA,
        **facts.to_json(),
        "exit_code": report.exit_code,
        "message": report.message,
        "shard": None if report.shard is None else list(report.shard),
        "found": report.found,
        "counts": dict(report.counts),
        "tiles": sum(outcome.tiles for outcome in report.outcomes),
        "tiles_gated": sum(outcome.tiles_gated for outcome in report.outcomes),
        "slices_emptied": sum(outcome.slices_emptied for outcome in report.outcomes),
        "seconds": {**report.seconds, **_stages(report)},
        "pending": list(report.pending),
        "cases": [told_case(outcome) for outcome in report.outcomes],
    }


def told_case(outcome: Outcome) -> Json:
    """One entry of ``cases``."""
    return {name: value for name, value in outcome.to_json().items() if name not in NOT_TOLD}


def _stages(report: Report) -> dict[str, float]:
    """Seconds by stage over the cases of this run; an unchanged case spent its time in an earlier one."""
    total: dict[str, float] = {}
    for outcome in report.outcomes:
        if outcome.status != "unchanged":
            for stage, seconds in outcome.seconds.items():
                total[stage] = round(total.get(stage, 0.0) + seconds, 4)
    return total


def read_report(path: Path) -> Json:
    """The content of a report. Raises UsageError if there is none, one of another version, or one that does not fit.

    What an earlier version did not write yet is filled in.
    """
    try:
        content = json.loads(read_regular(path, LARGEST, follow_links=False))
        if content["schema"] != REPORT_SCHEMA:
            raise UsageError(f"{path}: written by another version of segcli; run it again to show it")
        lacking = {name: value for name, value in DEFAULTS.items() if name not in NOT_TOLD}
        content = {"slices_emptied": 0, **content, "cases": [{**lacking, **case} for case in content["cases"]]}
    except OSError as error:
        raise UsageError(f"{path}: no report of segcli is there ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: no report of segcli is there ({type(error).__name__})") from error
    wrong = checker(load_schema())(content)
    if wrong is not None:
        raise UsageError(f"{path}: not as segcli wrote it, at {wrong or 'its beginning'}: run again to have it anew")
    return content


def report_from(content: Json) -> Report:
    """Inverse of :func:`report_content`, as far as a console needs it. Raises KeyError, TypeError or ValueError."""
    ended = int(content["exit_code"])
    return Report(
        outcomes=tuple(Outcome.from_json(case) for case in content["cases"]),
        ended=ended if ended in EARLY else None,
        shard=None if content["shard"] is None else (int(content["shard"][0]), int(content["shard"][1])),
        message=content["message"],
        found=int(content["found"]),
        pending=tuple(content["pending"]),
        seconds=content["seconds"],
    )


def load_schema() -> Json:
    """The JSON Schema (draft 2020-12) of report.json."""
    return json.loads((files(__package__) / SCHEMA_NAME).read_text(encoding="utf-8"))
