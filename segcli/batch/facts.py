"""What is known of a run before its first case: for the manifest and the report."""

from __future__ import annotations

import os
import platform
import secrets
import time
from importlib.metadata import version

from segcli.engine.model import LoadedModel
from segcli.engine.segmenter import Segmenter
from segcli.reporting.content import RunFacts


def facts_of(model: LoadedModel, segmenter: Segmenter) -> RunFacts:
    """Versions, model, machine and settings, with what ``auto`` chose."""
    card = model.card
    return RunFacts(
        run=secrets.token_hex(4),
        begun=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        versions={"segcli": version("segcli"), "torch": version("torch"), "python": platform.python_version()},
        model={
            "name": card.name,
            "version": card.version,
            "plugin": card.plugin,
            "distribution": f"{model.plugin.distribution} {model.plugin.version}",
            "weights_sha256": card.sha256,
            "notes": list(model.notes),
            "labels": [
                {"value": label.value, "segment": number, "name": label.name}
                for number, label in enumerate(card.labels, 1)
            ],
        },
        machine={
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "device": str(segmenter.device),
            "precision": segmenter.precision,
            "batch": segmenter.batch,
        },
        settings=dict(segmenter.settings.to_report()),
    )
