"""Cases × output folder → what is to be done, decided before a pixel is read."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from segcli.batch.fingerprint import file_sha256, fingerprint
from segcli.batch.manifest import History
from segcli.batch.shard import holds
from segcli.case import Case, LeftOut, Scan
from segcli.formats.interface import InputFiles
from segcli.outcome import Job, Outcome, Trace
from segcli.settings import PredictSettings

DEADLY = 2
"""A case that was started without an outcome in this many dead runs is not tried again."""


@dataclass
class Plan:
    """``jobs``: to be done in one stream. ``suspects``: at hand when a run died; done last and one by one, so that the
    guilty one shows. ``settled``: outcomes known already. ``fresh``: those of them the manifest does not know yet.
    ``pending``: left for another run. ``found``: cases and failures of all shards.
    """

    jobs: list[Job] = field(default_factory=list)
    suspects: list[Job] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    fresh: list[Outcome] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    found: int = 0


def make_plan(scan: Scan, output: Path, histories: Iterable[History], key: str, settings: PredictSettings) -> Plan:
    """``histories``: of this run's manifest first, then of other shards in the folder. ``key``: of what is made now."""
    planner = _Planner(output, tuple(histories), key, settings)
    plan = planner.plan
    plan.found = len(scan.cases) + sum(entry.status == "failed" for entry in scan.left_out)
    plan.settled += [_left_out(entry) for entry in scan.left_out if holds(settings.shard, entry.id)]
    shared = {path for path, count in Counter(_folded(case.output) for case in scan.cases).items() if count > 1}
    for case in scan.cases:
        if holds(settings.shard, case.id):
            planner.take(case, collides=_folded(case.output) in shared)
    return plan


def outcome_of(case: Case, outcome: Outcome) -> Outcome:
    """The outcome with what the scan knows of the case."""
    return replace(
        outcome,
        id=case.id,
        name=case.name,
        format=case.format,
        modality=case.modality,
        transfer_syntax=case.transfer_syntax,
        warnings=tuple(dict.fromkeys((*case.warnings, *outcome.warnings))),
    )


class _Planner:
    def __init__(self, output: Path, histories: tuple[History, ...], key: str, settings: PredictSettings) -> None:
        self._output, self._histories, self._key, self._settings = output, histories, key, settings
        self._ours = {_folded(PurePosixPath(path)) for history in histories for path in history.outputs}
        self.plan = Plan()

    def take(self, case: Case, *, collides: bool) -> None:
        """Put the case where it belongs."""
        if collides:
            reason = "another case would be written to the same file: rename one, or run them apart"
            self._settle(case, Outcome(case.id, case.name, "failed", reason=reason, error="OutputExistsError"))
            return
        previous = self._previous(case)
        if previous is not None and previous.status in ("done", "empty") and not self._settings.overwrite:
            unchanged = self._unchanged(case, previous)
            if unchanged is not None:
                if unchanged.trace != previous.trace:
                    self.plan.fresh.append(replace(unchanged, status=previous.status))
                self.plan.settled.append(unchanged)
                return
        failed = previous is not None and previous.status == "failed"
        deaths = self._histories[0].deaths[case.id] if self._histories else 0
        if self._settings.retry_failed:
            if failed or deaths:
                self._do(case, alone=deaths > 0 or (previous is not None and previous.sticky))
            else:
                self.plan.pending.append(case.id)
        elif previous is not None and failed and previous.sticky and not self._settings.overwrite:
            self.plan.settled.append(previous)
        elif deaths >= DEADLY:
            reason = "it ended the run twice: look at the file, then --retry-failed tries it again"
            trace = Trace(self._key)
            outcome = Outcome(case.id, case.name, "failed", reason=reason, error="CaseError", sticky=True, trace=trace)
            self._settle(case, outcome)
        else:
            self._do(case, alone=deaths > 0)

    def _previous(self, case: Case) -> Outcome | None:
        """The latest outcome under the same model, settings and versions."""
        for history in self._histories:
            outcome = history.outcomes.get(case.id)
            if outcome is not None and outcome.trace is not None and outcome.trace.key == self._key:
                return outcome
        return None

    def _do(self, case: Case, *, alone: bool) -> None:
        path = self._output / case.output
        foreign = _folded(case.output) not in self._ours and (path.exists() or path.is_symlink())
        (self.plan.suspects if alone else self.plan.jobs).append(Job(case, path, foreign))

    def _settle(self, case: Case, outcome: Outcome) -> None:
        outcome = outcome_of(case, outcome)
        self.plan.settled.append(outcome)
        self.plan.fresh.append(outcome)

    def _unchanged(self, case: Case, previous: Outcome) -> Outcome | None:
        """The outcome as ``unchanged`` if input and mask are what they were; its trace is brought up to date."""
        trace = previous.trace
        if trace is None or previous.output != str(case.output):
            return None
        path = self._output / case.output
        inputs, output = fingerprint(case.files), fingerprint([path])
        if inputs is None or output is None:
            return None
        trusted = not self._settings.verify
        if not (trusted and output == trace.output) and file_sha256(path) != previous.sha256:
            return None
        if not (trusted and inputs == trace.inputs) and _digest(case) != trace.digest:
            return None
        return replace(previous, status="unchanged", trace=replace(trace, inputs=inputs, output=output))


def _digest(case: Case) -> str | None:
    try:
        return InputFiles(case.files).digest()
    except OSError:
        return None


def _left_out(entry: LeftOut) -> Outcome:
    error = "UnreadableError" if entry.status == "failed" else None
    return Outcome(entry.id, entry.name, entry.status, entry.format, reason=entry.reason, error=error)


def _folded(path: PurePosixPath) -> str:
    """One text for all spellings that some file system takes for the same file."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())
