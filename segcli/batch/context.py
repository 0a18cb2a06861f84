"""What the runs on an output folder remember, and what this one writes down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from segcli.batch.history import History
from segcli.batch.manifest import ManifestWriter
from segcli.reporting.content import RunFacts


@dataclass(frozen=True)
class RunContext:
    """``fingerprint``: what masks are made from, beside their input. ``token``: tells this shard's temporary files from
    others'. ``key``: the folder's secret, of which case ids are made.
    """

    output: Path
    history: History
    manifest: ManifestWriter
    fingerprint: str
    token: str
    key: bytes
    facts: RunFacts

    @cached_property
    def ours(self) -> frozenset[str]:
        """Masks that earlier runs wrote or announced: these alone may be replaced."""
        return frozenset(self.history.outputs)
