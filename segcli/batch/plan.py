"""Cases × output folder → jobs; collisions are refused before a pixel is read."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from segcli.batch.history import History
from segcli.batch.key import hash_file, stat_of
from segcli.case import Case, LeftOut
from segcli.contract import ModelCard
from segcli.engine.scope import case_out_of_scope
from segcli.errors import UsageError
from segcli.formats.walk import input_name
from segcli.outcome import Job, Outcome
from segcli.settings import PredictSettings

MAX_CRASHES = 2
"""So many runs may die while a case is worked on; in the next it runs alone, and if that dies too it is left alone."""
_ENDING = re.compile(r"\.(nii\.gz|nrrd\.gz|ome\.tiff?|[A-Za-z][A-Za-z0-9]{0,5})$", re.IGNORECASE)
"""An ending of an image file; the numbers of a UID are none."""
_FILE = re.compile(r"\.(png|jpe?g|tiff?|nii|gz|nrrd|nhdr|mha|mhd|dcm|json|jsonl|html|csv)$", re.IGNORECASE)
_BOOK = re.compile(r"(manifest|report|volumes)(-\d+-of-\d+)?\.\w+(\.bad-\d+)?|\.segcli-.*|\.manifest.*\.lock")
"""Names of what lies beside the masks."""


def check_folders(inputs: Sequence[Path], output: Path) -> None:
    """Raise UsageError if an input is missing or the output equals one or lies inside one."""
    try:
        _check_folders(inputs, output)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        reason = getattr(error, "strerror", None) or "a loop of links"
        raise UsageError(f"an input or the output folder {output} cannot be reached ({reason})") from error


def _check_folders(inputs: Sequence[Path], output: Path) -> None:
    resolved = output.resolve()
    for path in inputs:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        inside = path.resolve()
        # several inputs are mirrored below their names, and such a folder may be the input itself
        mirrored = len(inputs) > 1 and (resolved / input_name(path)).resolve() == inside
        if resolved == inside or inside in resolved.parents or mirrored:
            raise UsageError(f"masks in {output} would lie inside the input {path}: choose another -o")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file: -o names a folder")
    if not output.exists() and _FILE.search(output.name):
        raise UsageError(f"{output} is called like a file: -o names a folder, in which each mask gets its image's name")


def refuse_targets_inside(jobs: Sequence[Job], inputs: Sequence[Path]) -> None:
    """Raise UsageError if a mask would be written into an input, where a later run would take it for an image."""
    roots = {path.resolve() for path in inputs}
    for folder in {job.target.parent for job in jobs}:
        real = folder.resolve()
        if real in roots or not roots.isdisjoint(real.parents):
            raise UsageError(f"masks in {folder} would lie inside an input: choose another -o")


def as_before(settings: PredictSettings, history: History) -> PredictSettings:
    """What auto chose when the output folder was begun, so that a resumed run gives the same bytes."""
    if settings.batch is None and history.chosen.get("batch"):
        settings = replace(settings, batch=int(history.chosen["batch"]))
    if settings.precision == "auto" and history.chosen.get("precision"):
        settings = replace(settings, precision=history.chosen["precision"])
    return settings


def default_output(source: Path) -> Path:
    """``<name>_masks`` beside the resolved input, ``<stem>_masks`` for a file. Raises UsageError for ``/``."""
    resolved = source.resolve()
    name = resolved.name if resolved.is_dir() else _ENDING.sub("", resolved.name) or resolved.name
    if not name:
        raise UsageError(f"{source} has no folder beside it for the masks: give -o")
    return resolved.with_name(f"{name}_masks")


def left_out(entry: LeftOut) -> Outcome:
    """The outcome of a file that never became a case."""
    error = "UnreadableError" if entry.status == "failed" else None
    return Outcome(entry.id, entry.name, entry.status, entry.format, entry.reason, error)


def in_shard(case_id: str, shard: tuple[int, int] | None) -> bool:
    """Whether a case or left-out file belongs to shard ``(i, n)``: decided by its id alone."""
    return shard is None or int(case_id, 16) % shard[1] == shard[0] - 1


def plan(
    cases: Sequence[Case], output: Path, history: History, settings: PredictSettings, card: ModelCard
) -> tuple[list[Job], list[Outcome]]:
    """Jobs to run, and outcomes already known: collisions, unchanged cases, cases that end every run, and those whose
    headers tell that they are out of the model's scope.
    """
    claims = Counter(_folded(case) for case in cases)
    jobs: list[Job] = []
    known: list[Outcome] = []
    for case in cases:
        if not in_shard(case.id, settings.shard):
            continue
        before = history.outcomes.get(case.id)
        job = Job(case, output / case.output)
        if claims[_folded(case)] > 1:
            reason = "another case would be written to the same file: rename one of the two"
            known.append(failed(case, reason, "OutputExistsError"))
        elif len(case.output.parts) > 1 and _BOOK.fullmatch(_folded(case).partition("/")[0]):
            reason = "its folder is called as a file that segcli keeps beside the masks: rename the folder"
            known.append(failed(case, reason, "OutputExistsError"))
        elif history.crash_count[case.id] > MAX_CRASHES and not settings.retry_failed:
            reason = f"ended {history.crash_count[case.id]} runs, the last one alone; --retry-failed tries it again"
            known.append(failed(case, reason, "CaseError"))
        elif settings.retry_failed and not (history.crash_count[case.id] or (before and before.status == "failed")):
            continue
        elif not settings.any_scope and (outside := case_out_of_scope(case, card, settings.spacing)) is not None:
            known.append(skipped(case, outside))
        elif before is not None and is_unchanged(job, before, settings):
            known.append(unchanged(before))
        else:
            jobs.append(job)
    return jobs, known


def retry_batches(jobs: Sequence[Job], history: History) -> Iterator[Sequence[Job]]:
    """All jobs in one stream; those at hand when a run died after it, one by one, so that the guilty one shows."""
    yield [job for job in jobs if not history.crash_count[job.case.id]]
    for job in jobs:
        if history.crash_count[job.case.id]:
            yield [job]


def is_unchanged(job: Job, before: Outcome, settings: PredictSettings) -> bool:
    """Whether neither input nor mask changed since ``before``, as far as size, time and inode of the input tell."""
    if settings.overwrite or settings.verify or before.status not in ("done", "empty", "unchanged"):
        return False
    try:
        return before.stat == stat_of(job.case.files) and before.sha256 == hash_file(job.target)
    except OSError:
        return False


def unchanged(before: Outcome) -> Outcome:
    """The outcome of a case that needs nothing: all that was known of it, and the status ``unchanged``."""
    return Outcome.from_json({**before.to_json(), "status": "unchanged"})


def skipped(case: Case, reason: str) -> Outcome:
    """The outcome of a case that is no image for this model."""
    return replace(failed(case, reason, ""), status="skipped", error=None)


def failed(case: Case, reason: str, error: str) -> Outcome:
    """The outcome of a case that failed."""
    return Outcome(
        case.id, case.name, "failed", case.format, reason, error, str(case.output), case.shape, case.spacing,
        case.orientation, warnings=case.warnings,
    )  # fmt: skip


def _folded(case: Case) -> str:
    return unicodedata.normalize("NFC", str(case.output)).casefold()
