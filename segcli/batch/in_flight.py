"""From a case that was read to one in flight: what is refused, skipped or known already never reaches the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segcli.batch.ahead import Reading, Stat, refuse_changed
from segcli.batch.context import RunContext
from segcli.batch.key import hash_file, job_key
from segcli.batch.masks import Mask
from segcli.batch.plan import failed, skipped, unchanged
from segcli.engine.scope import case_out_of_scope, parts_out_of_scope
from segcli.errors import SegcliError, SkippedCase
from segcli.formats.interface import MaskRequest
from segcli.formats.readers import ReadCase
from segcli.formats.scan import other_modality
from segcli.outcome import Job, Outcome


@dataclass(frozen=True, eq=False)
class Accepted:
    """A case that was read and is to be segmented.

    ``stat``: of its files before they were read; ``key``: what its mask is made from. ``notes``: what must be told with
    its mask. ``remarks``: what stands in the report alone.
    """

    job: Job
    delivery: ReadCase
    stat: Stat
    key: str
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class InFlight:
    """A case between the first of its tiles and its result."""

    accepted: Accepted
    mask: Mask


def accept(reading: Reading, context: RunContext, request: MaskRequest) -> Accepted | Outcome:
    """The case as it was read, or its outcome if that is known already; then the image is let go."""
    try:
        delivery = reading.future.result()
    except SkippedCase as error:
        return skipped(reading.job.case, str(error))
    except SegcliError as error:
        return failed(reading.job.case, str(error), type(error).__name__)
    accepted = Accepted(reading.job, delivery, reading.stat, job_key(context.fingerprint, delivery.digest))
    found = _judged(accepted, context, request)
    if isinstance(found, Outcome):
        delivery.close()
    return found


def _judged(accepted: Accepted, context: RunContext, request: MaskRequest) -> Accepted | Outcome:
    case, parts, settings = accepted.job.case, accepted.delivery.parts, request.settings
    warnings = (*case.warnings, *accepted.delivery.warnings)
    try:
        refuse_changed(case.files, accepted.stat)
    except SegcliError as error:
        return failed(case, str(error), type(error).__name__)
    if settings.strict and warnings:
        return failed(case, f"--strict: {warnings[0]}", "UnsupportedError")
    spacing = settings.spacing
    reason = case_out_of_scope(case, request.card, spacing) or parts_out_of_scope(parts, request.card, spacing)
    if reason is not None and not settings.any_scope:
        return skipped(case, reason)
    # No warnings to the reader's: with --strict they would fail what was asked for.
    other = other_modality(case, request.card.modality)
    asked_for = ((reason, "--any-scope"), (other and f"other modality: {other}", "--any-modality"))
    notes = tuple(f"{found}; segmented all the same ({word})" for found, word in asked_for if found)
    accepted = replace(accepted, notes=notes)
    before = context.history.outcomes.get(case.id)
    if before is not None and before.status in ("done", "empty") and len(before.stat) != len(case.files):
        files = f"{len(before.stat)} files, this one from {len(case.files)}"
        accepted = replace(accepted, remarks=(f"replaces an earlier mask, which was made from {files}",))
    if before is not None and not settings.overwrite and _is_there(accepted, before):
        return replace(unchanged(before), stat=accepted.stat)
    return accepted


def _is_there(accepted: Accepted, before: Outcome) -> bool:
    """Whether the mask made from the same input lies where it was written."""
    if before.key != accepted.key or before.sha256 is None:
        return False
    try:
        return before.sha256 == hash_file(accepted.job.target)
    except OSError:
        return False  # make it again
