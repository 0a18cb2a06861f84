"""What is known of the last run on an output folder: its report, or, if it died without one, its manifest."""

from __future__ import annotations

import os
from pathlib import Path

from segcli.batch.history import read_manifest
from segcli.batch.lock import is_held
from segcli.batch.manifest import manifest_name
from segcli.exit_code import ExitCode
from segcli.image import Json
from segcli.outcome import Report
from segcli.reporting.content import RunFacts, read_report, report_content
from segcli.reporting.files import report_name

DIED = "the last run left no report: it was killed, or the machine went down; run it again"
RUNS = "the run is not over yet; what it has done so far is shown"


def last_run(folder: Path, shard: tuple[int, int] | None) -> Json:
    """The content of the report. Raises UsageError if neither report nor manifest is there."""
    manifest, path = folder / manifest_name(shard), folder / report_name(shard)
    history = read_manifest(manifest)
    if os.path.lexists(path) or history.facts is None:
        content = read_report(path)
        if history.facts is None or content["run"] == history.facts["run"]:
            return content
    alive = is_held(folder / f".{manifest.name}.lock")
    facts = RunFacts(**{name: history.facts[name] for name in RunFacts.__dataclass_fields__})
    report = Report(
        tuple(history.outcomes.values()), ExitCode.ENDED_EARLY, shard, RUNS if alive else DIED, history.scanned[0],
        tuple(history.in_flight),
    )  # fmt: skip
    return report_content(facts, report)
