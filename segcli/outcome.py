"""The result of each case, and what that means for the run: outcomes, the report, the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from segcli.exit_code import ExitCode, code_of

if TYPE_CHECKING:  # the command line uses this room before numpy is needed
    from segcli.case import Case
    from segcli.image import Json

Status: TypeAlias = Literal["done", "empty", "unchanged", "skipped", "failed"]

REPORT_SCHEMA = 1
OUT_OF_SCOPE = "out of scope: "
"""How the reason begins of a case that is not of the kind its model was trained on."""


@dataclass(frozen=True)
class Job:
    """A case and the file its mask goes to."""

    case: Case
    target: Path


@dataclass(frozen=True)
class Outcome:
    """One case's line in manifest and report.

    ``reason``: why skipped, failed or empty (gate, threshold, post-processing). ``error``: class of
    :mod:`segcli.errors` of a failure.
    ``volumes``: label name → pixels and mm³ (None where the source does not say how large a voxel is).
    ``presence``: label name → highest score of a tile; ``slice_presence``: label name → part → slice → score.
    ``slices_emptied``: slices (of a 3-D model: stacks) on which the empty filter took off a label that was drawn.
    ``geometry``: an object a part, see the report's schema. ``seconds``: by stage. ``key``: what the mask was made
    from (input bytes, model, settings); ``stat``: size, mtime_ns and inode of each input file; ``sha256``: of the
    mask file.
    """

    id: str
    name: str
    status: Status
    format: str | None = None
    reason: str | None = None
    error: str | None = None
    output: str | None = None
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    volumes: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    presence: Mapping[str, float] | None = None
    slice_presence: Mapping[str, Json] | None = None
    geometry: tuple[Json, ...] = ()
    tiles: int = 0
    tiles_gated: int = 0
    slices_emptied: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    key: str | None = None
    stat: tuple[tuple[int, int, int], ...] = ()
    sha256: str | None = None

    def to_json(self) -> Json:
        """A JSON object with every field."""
        return asdict(self)

    @staticmethod
    def from_json(value: Json) -> Outcome:
        """Inverse of :meth:`to_json`; fields of later versions are ignored."""
        known = {item.name for item in fields(Outcome)}
        values = {name: item for name, item in value.items() if name in known}
        for name in ("shape", "spacing", "warnings", "geometry"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        values["stat"] = tuple((int(s), int(m), int(i)) for s, m, i in values.get("stat", ()))
        return Outcome(**values)


@dataclass(frozen=True)
class Report:
    """All outcomes of a run. ``ended``: of :data:`segcli.exit_code.EARLY`, what ended the run early, or None.

    ``message``: why it ended early. ``found``: cases and unreadable images of all shards. ``pending``: ids of cases it
    did not come to. ``seconds``: of the whole run and of its scan.
    """

    outcomes: tuple[Outcome, ...]
    ended: int | None = None
    shard: tuple[int, int] | None = None
    message: str | None = None
    found: int = 0
    pending: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many outcomes of each status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def exit_code(self) -> ExitCode:
        """What ended it early, or how its cases ended.

        Skipped files never count, but a run that found cases and none in the model's scope had nothing to do.
        """
        if self.ended is not None:
            return ExitCode(self.ended)
        failed = self.counts.get("failed", 0)
        well = sum(self.counts.get(status, 0) for status in ("done", "empty", "unchanged"))
        if self.found and not (failed or well or self.out_of_scope):
            return ExitCode.DONE  # a shard to which no case fell
        return code_of(failed=failed, well=well)

    @property
    def out_of_scope(self) -> int:
        """How many cases were skipped because the model was trained on another kind of image."""
        return sum(
            outcome.status == "skipped" and (outcome.reason or "").startswith(OUT_OF_SCOPE) for outcome in self.outcomes
        )
