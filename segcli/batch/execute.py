"""A run from the scan to the report, once its output folder is made and locked."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segcli.batch.ahead import ReadAhead
from segcli.batch.context import RunContext
from segcli.batch.manifest import ManifestError
from segcli.batch.observer import Observers, RunObserver
from segcli.batch.plan import failed, in_shard, left_out, plan, refuse_targets_inside, retry_batches
from segcli.batch.recorder import RunRecorder
from segcli.batch.runner import DiskFullError, Runner
from segcli.batch.tools import Interrupt, Tools
from segcli.batch.watchdog import Watchdog
from segcli.contract import ModelCard
from segcli.engine.segmenter import Segmenter
from segcli.errors import UsageError
from segcli.exit_code import ExitCode
from segcli.formats.interface import MaskRequest
from segcli.formats.scan import ScanOptions, scan
from segcli.outcome import Report
from segcli.settings import PredictSettings


def execute(
    inputs: Sequence[Path],
    context: RunContext,
    segmenter: Segmenter,
    others: RunObserver,
    interrupt: Interrupt,
    tools: Tools,
) -> Report:
    """Scan, plan, segment, and write the report, whatever happens. ``others`` hear how it goes.

    Raises UsageError, and what a second signal or a bug raises, once the report is written.
    """
    settings = segmenter.settings
    recorder = RunRecorder(context, settings, others)
    request = MaskRequest(segmenter.card, replace(settings, precision=segmenter.precision), tools.version("segcli"))
    begun = time.monotonic()
    ended: int | None = ExitCode.ENDED_EARLY
    message: str | None = "a bug ended the run"
    try:
        others.on_begin(context.facts)
        with tools.readers(max(1, min(4, (os.cpu_count() or 2) - 1)), context.output) as readers:
            found = scan(inputs, _scan_options(context.key, settings, segmenter.card), readers)
            jobs, known = plan(found.cases, context.output, context.history, settings, segmenter.card)
            refuse_targets_inside(jobs, inputs)
            interrupt.at_once = False
            observer = Observers((recorder, others))
            everything = len(found.cases) + sum(entry.status == "failed" for entry in found.left_out)
            observer.on_plan(jobs, everything, time.monotonic() - begun)
            for entry in found.left_out:
                if in_shard(entry.id, settings.shard):
                    observer.on_result(left_out(entry))
            for outcome in known:
                observer.on_result(outcome)
            ahead = ReadAhead(readers, request, lambda: interrupt.code is not None)
            with Watchdog(settings.case_timeout, lambda: _end_hung(runner, recorder), tools.grace) as watchdog:
                runner = Runner(segmenter, ahead, context, request, Observers((watchdog, observer)), tools.write_mask)
                for batch in retry_batches(jobs, context.history):
                    runner.run(batch)
        ended, message = interrupt.code, None if interrupt.code is None else "a signal ended the run"
        context.manifest.ended()
    except (DiskFullError, ManifestError) as error:
        ended, message = ExitCode.ENDED_EARLY, str(error)
        with contextlib.suppress(ManifestError):  # no case is to blame
            context.manifest.ended()
    except (SystemExit, KeyboardInterrupt):
        ended, message = interrupt.code or ExitCode.SIGINT, "a signal stopped the run at once"
        with contextlib.suppress(ManifestError):
            context.manifest.ended()
        raise
    except UsageError:
        ended, message = ExitCode.USAGE, "nothing was started"
        raise
    finally:
        interrupt.at_once = False
        report = recorder.report(ended, message)
    return report


def _end_hung(runner: Runner, recorder: RunRecorder) -> None:
    """Leave at once: nothing else ends a thread that is in the network."""
    reason = "the network did not come back within --case-timeout; the run was ended"
    for job in runner.in_flight:
        recorder.on_result(failed(job.case, reason, "CaseError"))
    recorder.report(ExitCode.ENDED_EARLY, reason)
    sys.stderr.write(f"segcli: {reason}\n")
    sys.stderr.flush()
    os._exit(ExitCode.ENDED_EARLY)


def _scan_options(key: bytes, settings: PredictSettings, card: ModelCard) -> ScanOptions:
    return ScanOptions(
        key=key,
        modality=card.modality,
        channels=len(card.channels),
        select=settings.select,
        any_modality=settings.any_modality,
        follow_links=settings.follow_links,
        settle=settings.settle,
        spacing_given=settings.spacing is not None,
    )
