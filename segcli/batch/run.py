"""One call of ``predict``: what must be sound before anything starts, and the output folder made and locked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from segcli.batch.context import RunContext
from segcli.batch.differences import differences
from segcli.batch.execute import execute
from segcli.batch.facts import facts_of
from segcli.batch.history import made_before, read_manifest, set_aside
from segcli.batch.key import fingerprint
from segcli.batch.lock import hold_lock, refuse_other_division
from segcli.batch.manifest import DISK_FULL, ManifestError, ManifestWriter, manifest_name
from segcli.batch.observer import Observers, RunObserver
from segcli.batch.plan import as_before, check_folders
from segcli.batch.run_log import RunLog
from segcli.batch.secret import case_key
from segcli.batch.tools import Interrupt, Tools
from segcli.engine.device import choose_device, choose_precision
from segcli.engine.gate import thresholds
from segcli.engine.model import LoadedModel
from segcli.engine.segmenter import Segmenter
from segcli.errors import UsageError
from segcli.formats.atomic import is_disk_full, remove_stale_temporaries
from segcli.outcome import Report
from segcli.reporting.files import refuse_strangers
from segcli.settings import PredictSettings


def run(
    inputs: Sequence[Path],
    output: Path,
    model: LoadedModel,
    settings: PredictSettings,
    observer: RunObserver,
    interrupt: Interrupt,
    tools: Tools,
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
            made_with, made_for = _fingerprints(model, segmenter, tools.version)
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
        context = RunContext(output, history, manifest, made_with, token, key, facts)
        others = Observers((RunLog(history), *tools.observers, observer))
        return execute(inputs, context, segmenter, others, interrupt, tools)


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


def _fingerprints(model: LoadedModel, segmenter: Segmenter, version: Callable[[str], str]) -> tuple[str, str]:
    """With and without versions: masks of an older version are made again, those of another model or other settings
    are not ours to replace without a word.
    """
    versions = (version("segcli"), f"{model.plugin.distribution} {model.plugin.version}")
    of = partial(fingerprint, model.card, segmenter.settings, segmenter.precision)
    return of(versions), of(())
