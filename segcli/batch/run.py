"""One call of ``predict`` from settings to report: scan, plan, run, remember."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from segcli.batch.key import fingerprint
from segcli.batch.lock import hold_lock, refuse_other_division
from segcli.batch.manifest import History, ManifestWriter, case_key, manifest_name, read_manifest
from segcli.batch.plan import check_folders, failed, left_out, plan
from segcli.batch.runner import DISK_FULL, DiskFullError, Runner
from segcli.batch.watchdog import Watchdog
from segcli.engine.model import LoadedModel
from segcli.engine.segmenter import Segmenter
from segcli.errors import UsageError
from segcli.formats.atomic import is_disk_full, remove_stale_temporaries, write_bytes_atomically
from segcli.formats.interface import MaskRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.outcome import REPORT_SCHEMA, Job, Outcome, Report
from segcli.settings import PredictSettings

REPORT_NAME = "report.json"
SIGINT_CODE = 130


class Listener(Protocol):
    """Who is told how the run goes (the console)."""

    def planned(self, jobs: int) -> None:
        """So many cases will be run."""
        ...

    def told(self, outcome: Outcome) -> None:
        """One more case has an outcome."""
        ...

    def progress(self, done: int, total: int) -> None:
        """So many of the tiles of the next case to have an outcome are done."""
        ...


@dataclass
class Interrupt:
    """``code``: the exit code of the signal that asked the run to stop, None while none did."""

    code: int | None = None


def run(
    inputs: Sequence[Path],
    output: Path,
    model: LoadedModel,
    settings: PredictSettings,
    listener: Listener,
    interrupt: Interrupt,
) -> Report:
    """Segment everything below ``inputs`` into ``output`` and write ``report.json`` there, whatever happens.

    Raises UsageError before anything is started; NothingToDoError never: that is an exit code of the report.
    """
    check_folders(inputs, output)
    mode = 0o700 if settings.private else 0o777
    try:
        output.mkdir(mode=mode, parents=True, exist_ok=True)
        if not os.access(output, os.W_OK | os.X_OK):
            raise PermissionError
    except OSError as error:
        raise UsageError(f"the output folder {output} cannot be made or written to: choose another -o") from error
    name = manifest_name(settings.shard)
    with hold_lock(output / f".{name}.lock"):
        refuse_other_division(output, output / f".{name}.lock")
        history = read_manifest(output / name)
        settings = settings if settings.overwrite else _as_before(settings, history)
        segmenter = Segmenter(model.network, model.card, settings)
        versions = (version("segcli"), f"{model.plugin.distribution} {model.plugin.version}")
        made_with = fingerprint(model.card, settings, segmenter.precision, versions)
        # versions apart: masks of an older version are made again, those of another model or settings are not ours to
        # replace without a word
        made_for = fingerprint(model.card, settings, segmenter.precision, ())
        if history.chosen.get("made_for", made_for) != made_for and not settings.overwrite:
            raise UsageError(
                f"{output} was made with another model or other settings: choose another -o, or --overwrite"
            )
        token = name.removesuffix(".jsonl").removeprefix("manifest").strip("-")
        remove_stale_temporaries(output, token)
        manifest = ManifestWriter(
            output / name,
            history,
            made_with,
            {
                "precision": segmenter.precision,
                "batch": segmenter.batch,
                "device": segmenter.device.type,
                "made_for": made_for,
            },
            private=settings.private,
        )
        try:
            books = _Books(output, history, manifest, made_with, token)
            return _run(inputs, books, model, segmenter, listener, interrupt)
        finally:
            manifest.close()


def _as_before(settings: PredictSettings, history: History) -> PredictSettings:
    """What auto chose when the output folder was begun, so that a resumed run gives the same bytes."""
    if settings.batch is None and history.chosen.get("batch"):
        settings = replace(settings, batch=int(history.chosen["batch"]))
    if settings.precision == "auto" and history.chosen.get("precision"):
        settings = replace(settings, precision=history.chosen["precision"])
    return settings


@dataclass(frozen=True)
class _Books:
    """What an output folder remembers."""

    output: Path
    history: History
    manifest: ManifestWriter
    fingerprint: str
    token: str


def _run(
    inputs: Sequence[Path],
    books: _Books,
    model: LoadedModel,
    segmenter: Segmenter,
    listener: Listener,
    interrupt: Interrupt,
) -> Report:
    output = books.output
    settings, card = segmenter.settings, model.card
    outcomes: list[Outcome] = []
    jobs: list[Job] = []
    begun = time.time()
    cases = 0

    def report_now(ended: int | None, message: str | None) -> Report:
        told_of = {outcome.id for outcome in outcomes}
        pending = tuple(job.case.id for job in jobs if job.case.id not in told_of)
        report = Report(tuple(outcomes), ended, settings.shard, message, cases, pending)
        write_report(output, report, model, segmenter, begun)
        return report

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        listener.told(outcome)

    ended: int | None = 70
    message: str | None = "a bug ended the run"
    try:
        with Readers(max(1, min(4, (os.cpu_count() or 2) - 1)), output) as readers:
            found = scan(inputs, _scan_options(output, settings, model), readers)
            cases = len(found.cases) + sum(entry.status == "failed" for entry in found.left_out)
            jobs, known = plan(found.cases, output, books.history, settings)
            listener.planned(len(jobs))
            for outcome in [*(left_out(entry) for entry in found.left_out), *known]:
                told(outcome)
            runner = Runner(
                segmenter,
                readers,
                books.manifest,
                books.history,
                MaskRequest(card, settings, version("segcli")),
                fingerprint=books.fingerprint,
                output=output,
                token=books.token,
                stop=lambda: interrupt.code is not None,
            )
            hung = partial(_end_hung, runner, outcomes, report_now)
            with Watchdog(settings.case_timeout, hung) as watchdog:
                for stream in _streams(jobs, books.history):
                    runner.run(stream, told, listener.progress, watchdog)
        ended, message = interrupt.code, None if interrupt.code is None else "a signal ended the run"
        books.manifest.ended()
    except OSError as error:
        if not is_disk_full(error):
            raise
        message = DISK_FULL
    except DiskFullError as error:
        message = str(error)
    except (SystemExit, KeyboardInterrupt):
        ended, message = interrupt.code or SIGINT_CODE, "a second signal stopped the run at once"
        books.manifest.ended()
        raise
    except UsageError:
        ended, message = UsageError.exit_code, "nothing was started"
        raise
    finally:
        report = report_now(ended, message)
    return report


def _end_hung(runner: Runner, outcomes: list[Outcome], report_now: Callable[[int | None, str | None], Report]) -> None:
    """Leave at once: nothing else ends a thread that is in the network."""
    reason = "the network did not come back within --case-timeout; the run was ended"
    outcomes.extend(failed(job.case, reason, "CaseError") for job in runner.at_hand)
    report_now(DiskFullError.exit_code, reason)
    sys.stderr.write(f"segcli: {reason}\n")
    sys.stderr.flush()
    os._exit(DiskFullError.exit_code)


def _streams(jobs: Sequence[Job], history: History) -> Iterator[Sequence[Job]]:
    """All jobs in one stream; those at hand when a run died after it, one by one, so that the guilty one shows."""
    yield [job for job in jobs if not history.deaths[job.case.id]]
    for job in jobs:
        if history.deaths[job.case.id]:
            yield [job]


def _scan_options(output: Path, settings: PredictSettings, model: LoadedModel) -> ScanOptions:
    return ScanOptions(
        key=case_key(output),
        modality=model.card.modality,
        channels=len(model.card.channels),
        select=settings.select,
        any_modality=settings.any_modality,
        follow_links=settings.follow_links,
        settle=settings.settle,
    )


def write_report(output: Path, report: Report, model: LoadedModel, segmenter: Segmenter, begun: float) -> None:
    """``report.json`` beside the masks."""
    shard = "" if report.shard is None else f"-{report.shard[0]}-of-{report.shard[1]}"
    path = output / REPORT_NAME.replace(".json", f"{shard}.json")
    content = {
        "schema": REPORT_SCHEMA,
        "exit_code": report.exit_code,
        "counts": dict(report.counts),
        "versions": {"segcli": version("segcli"), "torch": version("torch"), "python": platform.python_version()},
        "model": {
            "name": model.card.name,
            "version": model.card.version,
            "plugin": model.card.plugin,
            "distribution": f"{model.plugin.distribution} {model.plugin.version}",
            "weights_sha256": model.card.sha256,
        },
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "device": str(segmenter.device),
            "precision": segmenter.precision,
            "batch": segmenter.batch,
        },
        "settings": dict(segmenter.settings.to_report()),
        "seconds": round(time.time() - begun, 3),
        "message": report.message,
        "found": report.found,
        "pending": list(report.pending),
        "cases": [outcome.to_json() for outcome in report.outcomes],
    }
    write_bytes_atomically(path, (json.dumps(content, indent=1) + "\n").encode(), segmenter.settings.private)
