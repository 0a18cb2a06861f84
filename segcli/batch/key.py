"""What decides whether a mask made earlier is the mask this run would make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from segcli.contract import ModelCard
from segcli.settings import PredictSettings

WRITTEN = ("precision", "gate", "overlap", "spacing", "channel", "dicom_seg", "png_mask", "gaps", "strict")
"""Settings that change what is written, or whether; device, batch and threads do not belong here."""


@dataclass(frozen=True)
class Identity:
    """``model`` and ``settings``: if they differ, another output folder is asked for. ``versions``: if only these
    differ, the cases are done again.
    """

    model: Mapping[str, str]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """SHA-256 (hex) over all of it."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def differences(self, other: Identity) -> list[str]:
        """Names of what model and settings differ in."""
        names = [f"model {name}" for name in sorted(self.model) if self.model[name] != other.model.get(name)]
        return names + [
            f"--{name.replace('_', '-')}"
            for name in sorted(self.settings)
            if self.settings[name] != other.settings.get(name)
        ]


def identity_of(card: ModelCard, settings: PredictSettings, versions: Mapping[str, str]) -> Identity:
    """``settings``: resolved, so that ``precision`` is what the network computes in."""
    card_text = json.dumps(asdict(card), sort_keys=True, default=str)
    model = {
        "plugin": card.plugin,
        "name": card.name,
        "version": card.version,
        "weights": card.sha256,
        "card": hashlib.sha256(card_text.encode()).hexdigest(),
    }
    # once through JSON, so that tuples compare equal to what the manifest gives back
    written = json.loads(json.dumps({name: getattr(settings, name) for name in WRITTEN}))
    return Identity(model, written, dict(versions))
