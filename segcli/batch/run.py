"""One call of ``predict`` from settings to report: scan, plan, run, remember."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from segcli.batch.differences import differences
from segcli.batch.facts import facts_of
from segcli.batch.history import made_before, read_manifest, set_aside
from segcli.batch.key import fingerprint
from segcli.batch.lock import hold_lock, refuse_other_division
from segcli.batch.manifest import DISK_FULL, ManifestError, ManifestWriter, manifest_name
from segcli.batch.plan import as_before, check_folders, failed, in_shard, left_out, plan, refuse_targets_inside, streams
from segcli.batch.runner import DiskFullError, Runner
from segcli.batch.secret import case_key
from segcli.batch.told import Books, Listener, Told
from segcli.batch.watchdog import Watchdog
from segcli.engine.device import choose_device, choose_precision
from segcli.engine.gate import thresholds
from segcli.engine.model import LoadedModel
from segcli.engine.segmenter import Segmenter
from segcli.errors import UsageError
from segcli.exit_code import ExitCode
from segcli.formats.atomic import is_disk_full, remove_stale_temporaries
from segcli.formats.interface import MaskRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.outcome import Report
from segcli.reporting.files import refuse_strangers
from segcli.settings import PredictSettings


@dataclass
class Interrupt:
    """How a signal reaches the run. ``code``: its exit code, None while none came.

    ``at_once``: nothing is in flight that is worth finishing, so the first signal is to end the run like the second.
    """

    code: int | None = None
    at_once: bool = True


def run(
    inputs: Sequence[Path],
    output: Path,
    model: LoadedModel,
    settings: PredictSettings,
    listener: Listener,
    interrupt: Interrupt,
) -> Report:
    """Segment everything below ``inputs`` into ``output`` and write ``report.json`` there, whatever happens.

    Raises UsageError before anything is started, ManifestError if the disk is full already; NothingToDoError never:
    that is an exit code of the report.
    """
    check_folders(inputs, output)
    choose_precision(settings.precision, choose_device(settings.device))  # a mistake here leaves no folder behind
    thresholds(model.card, model.network, settings.gate)
    name = manifest_name(settings.shard)
    with contextlib.ExitStack() as held:
        with _set_up(output):
            _make(output, settings.private)
            held.enter_context(hold_lock(output / f".{name}.lock"))
            refuse_other_division(output, output / f".{name}.lock")
            if settings.rebuild:
                set_aside(output / name)
            history = read_manifest(output / name)
            refuse_strangers(output, settings.shard, begun=history.fingerprint is not None)
            settings = settings if settings.overwrite else as_before(settings, history)
            segmenter = Segmenter(model.network, model.card, settings)
            made_with, made_for = _fingerprints(model, segmenter)
            facts = facts_of(model, segmenter)
            for made_before_for, facts_before in made_before(history, output / name):
                if made_before_for != made_for and not settings.overwrite:
                    raise UsageError(
                        f"{output} was made otherwise ({differences(facts_before, facts)}): "
                        "choose another -o, or --overwrite"
                    )
            token = name.removesuffix(".jsonl").removeprefix("manifest").strip("-")
            remove_stale_temporaries(output, token)
            key = case_key(output, token)
            chosen = {
                "precision": segmenter.precision,
                "batch": segmenter.batch,
                "device": segmenter.device.type,
                "made_for": made_for,
            }
            manifest = ManifestWriter(output / name, history, made_with, chosen, facts, private=settings.private)
            held.callback(manifest.close)
        books = Books(output, history, manifest, made_with, token, key, facts)
        return _run(inputs, books, model, segmenter, listener, interrupt)


def _make(output: Path, private: bool) -> None:
    output.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
    if not os.access(output, os.W_OK | os.X_OK):
        raise PermissionError(13, os.strerror(13))


@contextlib.contextmanager
def _set_up(output: Path) -> Iterator[None]:
    """Before the first case: what cannot be written is a mistake in the set-up, unless the disk is full."""
    try:
        yield
    except (OSError, ManifestError) as error:
        if is_disk_full(error):
            raise ManifestError(DISK_FULL) from error
        cause = error.__cause__ if isinstance(error, ManifestError) else error
        raise UsageError(
            f"the output folder {output} cannot be made or written to ({getattr(cause, 'strerror', None)}): "
            "choose another -o"
        ) from error


def _fingerprints(model: LoadedModel, segmenter: Segmenter) -> tuple[str, str]:
    """With and without versions: masks of an older version are made again, those of another model or other settings
    are not ours to replace without a word.
    """
    versions = (version("segcli"), f"{model.plugin.distribution} {model.plugin.version}")
    of = partial(fingerprint, model.card, segmenter.settings, segmenter.precision)
    return of(versions), of(())


def _run(
    inputs: Sequence[Path],
    books: Books,
    model: LoadedModel,
    segmenter: Segmenter,
    listener: Listener,
    interrupt: Interrupt,
) -> Report:
    settings = segmenter.settings
    tell = Told(books, settings, listener)
    ended: int | None = ExitCode.ENDED_EARLY
    message: str | None = "a bug ended the run"
    try:
        tell.begun()
        with Readers(max(1, min(4, (os.cpu_count() or 2) - 1)), books.output) as readers:
            found = scan(inputs, _scan_options(books.key, settings, model), readers)
            jobs, known = plan(found.cases, books.output, books.history, settings, model.card)
            refuse_targets_inside(jobs, inputs)
            interrupt.at_once = False
            tell.planned(jobs, len(found.cases) + sum(entry.status == "failed" for entry in found.left_out))
            for entry in found.left_out:
                if in_shard(entry.id, settings.shard):
                    tell.told(left_out(entry))
            for outcome in known:
                tell.told(outcome)
            runner = Runner(
                segmenter,
                readers,
                books.manifest,
                books.history,
                MaskRequest(model.card, replace(settings, precision=segmenter.precision), version("segcli")),
                fingerprint=books.fingerprint,
                output=books.output,
                token=books.token,
                stop=lambda: interrupt.code is not None,
            )
            with Watchdog(settings.case_timeout, partial(_end_hung, runner, tell)) as watchdog:
                for stream in streams(jobs, books.history):
                    runner.run(stream, tell.told, listener.progress, watchdog)
        ended, message = interrupt.code, None if interrupt.code is None else "a signal ended the run"
        books.manifest.ended()
    except (DiskFullError, ManifestError) as error:
        ended, message = ExitCode.ENDED_EARLY, str(error)
        with contextlib.suppress(ManifestError):  # no case is to blame
            books.manifest.ended()
    except (SystemExit, KeyboardInterrupt):
        ended, message = interrupt.code or ExitCode.SIGINT, "a signal stopped the run at once"
        with contextlib.suppress(ManifestError):
            books.manifest.ended()
        raise
    except UsageError:
        ended, message = ExitCode.USAGE, "nothing was started"
        raise
    finally:
        interrupt.at_once = False
        report = tell.report(ended, message)
    return report


def _end_hung(runner: Runner, tell: Told) -> None:
    """Leave at once: nothing else ends a thread that is in the network."""
    reason = "the network did not come back within --case-timeout; the run was ended"
    tell.outcomes.extend(failed(job.case, reason, "CaseError") for job in runner.at_hand)
    tell.report(ExitCode.ENDED_EARLY, reason)
    sys.stderr.write(f"segcli: {reason}\n")
    sys.stderr.flush()
    os._exit(ExitCode.ENDED_EARLY)


def _scan_options(key: bytes, settings: PredictSettings, model: LoadedModel) -> ScanOptions:
    return ScanOptions(
        key=key,
        modality=model.card.modality,
        channels=len(model.card.channels),
        select=settings.select,
        any_modality=settings.any_modality,
        follow_links=settings.follow_links,
        settle=settings.settle,
        spacing_given=settings.spacing is not None,
    )
