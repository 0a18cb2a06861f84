"""What becomes of cases: jobs before, outcomes after, and the report of a run with its exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from segcli.case import Case

Status: TypeAlias = Literal["done", "empty", "unchanged", "skipped", "failed"]
Ended: TypeAlias = Literal["complete", "interrupted", "terminated", "hung", "disk full", "bug"]

SCHEMA = 1
"""Version of the report and of the manifest's lines."""

EXIT_CODES: Mapping[Ended, int] = {"interrupted": 130, "terminated": 143, "hung": 70, "disk full": 70, "bug": 70}
"""Exit codes of runs that did not come to their end; those that did have theirs from their outcomes."""


@dataclass(frozen=True)
class Job:
    """A case and where its mask goes. ``foreign``: a file that is not ours lies there; only an equal one may stay."""

    case: Case
    path: Path
    foreign: bool = False


@dataclass(frozen=True)
class LabelFound:
    """One label of a mask: ``pixels`` of it in all parts; ``volume_mm3`` None where the source states no spacing."""

    value: int
    name: str
    pixels: int
    volume_mm3: float | None


@dataclass(frozen=True)
class PartGeometry:
    """One part as it was read: slices, rows, columns; spacing in mm; letters of increasing column, row, slice."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float] | None = None
    slice_spacing: float | None = None
    orientation: str | None = None


@dataclass(frozen=True)
class Trace:
    """How a later run knows that nothing has changed.

    ``key``: model, settings, versions. ``digest``: SHA-256 over the input bytes. ``inputs``, ``output``: what the
    file system says of the files (size, time, inode), hashed; trusted in place of their bytes.
    """

    key: str
    digest: str | None = None
    inputs: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one case or left-out file.

    ``reason``: of ``empty``, ``skipped`` and ``failed``. ``error``: class of the error behind ``failed``. ``output``:
    relative to the output folder. ``seconds``: by stage (read, network, write). ``sticky``: not tried again without
    ``--retry-failed``. ``bug``: an error nobody raised on purpose; the run then ends with 70.
    """

    id: str
    name: str
    status: Status
    format: str | None = None
    reason: str | None = None
    error: str | None = None
    output: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    modality: str | None = None
    transfer_syntax: str | None = None
    parts: tuple[PartGeometry, ...] = ()
    labels: tuple[LabelFound, ...] = ()
    presence: Mapping[str, float] | None = None
    tiles: int = 0
    tiles_gated: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sticky: bool = False
    bug: bool = False
    trace: Trace | None = None

    @property
    def gated_share(self) -> float | None:
        """Share of tiles whose decoder was spared; None without tiles."""
        return self.tiles_gated / self.tiles if self.tiles else None

    def to_json(self) -> dict[str, Any]:
        """Plain values; :meth:`from_json` restores the equal object."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Outcome:
        """Inverse of :meth:`to_json`; fields of later versions are dropped. Raises KeyError, TypeError, ValueError."""
        known = {item.name for item in fields(Outcome)}
        values = {name: content for name, content in value.items() if name in known}
        values["parts"] = tuple(_part(part) for part in values.get("parts", ()))
        values["labels"] = tuple(LabelFound(**label) for label in values.get("labels", ()))
        values["warnings"] = tuple(values.get("warnings", ()))
        values["trace"] = None if values.get("trace") is None else Trace(**values["trace"])
        return Outcome(**values)


@dataclass(frozen=True)
class Report:
    """A whole run. ``about``: versions, model, settings, machine, times. ``pending``: ids of cases it did not come to.

    ``found``: cases and failures of all shards together, so that a shard without any is told from an empty input.
    """

    outcomes: tuple[Outcome, ...]
    ended: Ended = "complete"
    message: str | None = None
    pending: tuple[str, ...] = ()
    found: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, int]:
        """Outcomes by status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some failed, 3 nothing to do, 4 all failed, 70 ended early or a bug, 130 and 143 signals.

        Skipped files never count.
        """
        if self.ended != "complete":
            return EXIT_CODES[self.ended]
        if any(outcome.bug for outcome in self.outcomes):
            return EXIT_CODES["bug"]
        tried = [outcome for outcome in self.outcomes if outcome.status != "skipped"]
        failed = sum(outcome.status == "failed" for outcome in tried)
        if not tried and not self.pending:
            return 0 if self.found else 3
        if not failed:
            return 0
        return 4 if failed == len(tried) and not self.pending else 1


def _part(value: Mapping[str, Any]) -> PartGeometry:
    slices, rows, columns = value["shape"]
    spacing = value["spacing"]
    return PartGeometry(
        (slices, rows, columns),
        None if spacing is None else (spacing[0], spacing[1]),
        value["slice_spacing"],
        value["orientation"],
    )
