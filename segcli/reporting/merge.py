"""One report of all shards that wrote into an output folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.exit_code import ExitCode
from segcli.outcome import Report
from segcli.reporting.content import RunFacts, report_content, report_from

if TYPE_CHECKING:
    from segcli.image import Json

NAME = re.compile(r"(?:report|manifest)-(\d+)-of-(\d+)\.jsonl?")
_OF_ONE_SHARD = ("shard", "device", "batch", "memory")
"""Settings that shards of one whole may differ in."""


def shards_of(folder: Path) -> list[tuple[int, int]]:
    """All (i, n) of the division that reports and manifests in ``folder`` belong to.

    Raises UsageError if there is none, more than one or a whole run too, or if a shard has left no trace.
    """
    seen = {(int(m[1]), int(m[2])) for path in folder.iterdir() if (m := NAME.fullmatch(path.name))}
    counts = sorted({count for _, count in seen})
    if not counts:
        raise UsageError(f"{folder}: no reports of shards are there; --merge joins what --shard i/n runs wrote")
    if (folder / "manifest.jsonl").exists():  # its report would be written over
        raise UsageError(
            f"{folder}: holds a run without --shard beside those of shards: use one output folder for each"
        )
    if len(counts) > 1:
        divisions = " and ".join(f"{count} shards" for count in counts)
        raise UsageError(f"{folder}: holds runs of {divisions}: use one output folder for each division")
    wanted = [(index, counts[0]) for index in range(1, counts[0] + 1)]
    missing = [str(index) for index, count in wanted if (index, count) not in seen]
    if missing:
        raise UsageError(f"{folder}: of {counts[0]} shards these have not run: {', '.join(missing)}; run them first")
    return wanted


def merge(contents: Sequence[Json]) -> Json:
    """The report of all shards. Raises UsageError if they are not parts of one whole."""
    for name, values in (
        ("another model", [content["model"] for content in contents]),
        ("other settings", [_shared(content["settings"]) for content in contents]),
        ("another version", [content["versions"].get("segcli") for content in contents]),
    ):
        for value, content in zip(values, contents, strict=True):
            if value != values[0]:
                raise UsageError(
                    f"shard {content['shard'][0]} was made with {name} than shard {contents[0]['shard'][0]}: "
                    "run it again with the same command"
                )
    reports = [report_from(content) for content in contents]
    outcomes = sorted(
        (o for report in reports for o in report.outcomes), key=lambda outcome: (outcome.name, outcome.id)
    )
    _refuse_doubles((o.id for o in outcomes), "case")
    _refuse_doubles((o.output for o in outcomes if o.output is not None and o.sha256), "mask")
    first = min(contents, key=lambda content: str(content["begun"]))
    ended = [report.ended for report in reports if report.ended is not None]
    messages = [f"shard {c['shard'][0]}: {c['message']}" for c in contents if c["message"]]
    whole = Report(
        tuple(outcomes),
        ended=ExitCode.ENDED_EARLY if ExitCode.ENDED_EARLY in ended else max(ended, default=None),
        message="; ".join(messages) or None,
        found=max(report.found for report in reports),
        pending=tuple(case for report in reports for case in report.pending),
        seconds=_added(report.seconds for report in reports),
    )
    facts = RunFacts(
        first["run"], first["begun"], first["versions"], first["model"], first["machine"], _shared(first["settings"])
    )
    return report_content(facts, whole)


def _shared(settings: Json) -> Json:
    return {name: value for name, value in settings.items() if name not in _OF_ONE_SHARD}


def _added(every: Iterable[Json]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for seconds in every:
        total.update({name: seconds[name] for name in ("total", "scan") if name in seconds})
    return {name: round(value, 3) for name, value in total.items()}


def _refuse_doubles(names: Iterable[str], what: str) -> None:
    doubles = [name for name, count in Counter(names).items() if count > 1]
    if doubles:
        raise UsageError(
            f"two shards claim the {what} {doubles[0]} (and {len(doubles) - 1} more): "
            "they were given other inputs; use one output folder for each set of inputs"
        )
