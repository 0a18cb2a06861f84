"""What was done in an output folder: one JSON line per event, fsynced, readable after a crash at any point."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from segcli.errors import UsageError
from segcli.image import Json
from segcli.outcome import Outcome

SCHEMA = 1
KEY_NAME = ".segcli-key"
DEATHS = 2
"""Runs that may die on a case before it is left alone."""


@dataclass
class History:
    """What a manifest says: the fingerprint it was made with, the last outcome and the deaths of each case."""

    fingerprint: str | None = None
    chosen: Mapping[str, Json] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    announced: set[str] = field(default_factory=set)

    @property
    def outputs(self) -> set[str]:
        """Mask files that are ours: listed with an outcome, or announced before a run died."""
        return self.announced | {o.output for o in self.outcomes.values() if o.output is not None and o.sha256}


def manifest_name(shard: tuple[int, int] | None) -> str:
    """``manifest.jsonl``, or one per shard."""
    return "manifest.jsonl" if shard is None else f"manifest-{shard[0]}-of-{shard[1]}.jsonl"


def read_manifest(path: Path) -> History:
    """The history; a last line cut by a crash is ignored. Raises UsageError for another schema or a foreign file."""
    history = History()
    if not path.exists():
        return history
    for number, line in enumerate(path.read_bytes().split(b"\n")):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the line a crash cut short; every whole line was fsynced before the next began
        if number == 0 and (not isinstance(event, dict) or event.get("segcli_manifest") != SCHEMA):
            raise UsageError(f"{path.name}: not a manifest this segcli can read; choose another -o")
        _apply(event, history)
    if history.fingerprint is None and path.stat().st_size:
        raise UsageError(f"{path.name}: not a manifest this segcli can read; choose another -o")
    return history


def _apply(event: Json, history: History) -> None:
    if "segcli_manifest" in event:
        history.fingerprint, history.chosen = event["fingerprint"], event["chosen"]
    elif "started" in event:
        history.deaths[event["started"]] += 1
        history.announced.add(event["output"])
    elif "outcome" in event:
        outcome = Outcome.from_json(event["outcome"])
        history.outcomes[outcome.id] = outcome
        history.deaths[outcome.id] = 0


class ManifestWriter:
    """Appends events; each is on the disk when the call returns."""

    def __init__(self, path: Path, fingerprint: str, chosen: Mapping[str, Json], *, private: bool) -> None:
        fresh = not path.exists() or path.stat().st_size == 0
        mode = 0o600 if private else 0o666
        self._stream: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode), "ab")
        if fresh:
            self._append({"segcli_manifest": SCHEMA, "fingerprint": fingerprint, "chosen": dict(chosen)})
        else:
            self._stream.write(b"\n")  # ends a line that a crash may have cut; empty lines mean nothing

    def started(self, case_id: str, output: str) -> None:
        """Announce a case before its first tile."""
        self._append({"started": case_id, "output": output})

    def outcome(self, outcome: Outcome) -> None:
        """Record what became of a case."""
        self._append({"outcome": outcome.to_json()})

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _append(self, event: Json) -> None:
        self._stream.write(json.dumps(event, ensure_ascii=True).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())


def case_key(folder: Path) -> bytes:
    """The secret that makes case ids of this output folder; drawn once, readable only by its owner."""
    path = folder / KEY_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(32))
        stream.flush()
        os.fsync(stream.fileno())
    return bytes.fromhex(path.read_text(encoding="ascii"))
