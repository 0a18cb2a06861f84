"""What was done in an output folder: one JSON line per event, fsynced, readable after a crash at any point."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from segcli.errors import SegcliError, UsageError
from segcli.formats.atomic import TEMPORARY, flush_folder, is_disk_full
from segcli.formats.walk import MANIFEST_START
from segcli.image import Json
from segcli.outcome import Outcome
from segcli.reporting.content import RunFacts

SCHEMA = 1
KEY_NAME = ".segcli-key"
DEATHS = 2
"""Runs that may die on a case before it is left alone."""
DISK_FULL = "the disk of the output folder is full: free some space, then run again"


class ManifestError(SegcliError):
    """What was done cannot be remembered any more, so the run must end (exit code 70)."""


@dataclass
class History:
    """What a manifest says: the fingerprint it was made with, the last outcome and the deaths of each case.

    ``announced``: masks that are ours although no outcome lists them. ``at_hand``: started in the run that is being
    read and without an outcome so far. ``facts``: of the last run, see :class:`RunFacts`; ``scanned``: how many cases
    it found and planned.
    """

    fingerprint: str | None = None
    chosen: Mapping[str, Json] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    announced: set[str] = field(default_factory=set)
    at_hand: set[str] = field(default_factory=set)
    facts: Json = None
    scanned: tuple[int, int] = (0, 0)

    @property
    def outputs(self) -> set[str]:
        """Mask files that are ours: listed with an outcome, or announced before a run died."""
        return self.announced | {o.output for o in self.outcomes.values() if o.output is not None and o.sha256}

    def renew(self, fingerprint: str, chosen: Mapping[str, Json]) -> None:
        """What was made with another model, settings or version is ours to replace, but no outcome any more."""
        self.announced = self.outputs
        self.outcomes.clear()
        self.deaths.clear()
        self.fingerprint, self.chosen = fingerprint, chosen


def manifest_name(shard: tuple[int, int] | None) -> str:
    """``manifest.jsonl``, or one per shard."""
    return "manifest.jsonl" if shard is None else f"manifest-{shard[0]}-of-{shard[1]}.jsonl"


def read_manifest(path: Path) -> History:
    """The history; a last line cut by a crash is ignored. Raises UsageError for another schema or a foreign file."""
    history = History()
    if not path.exists():
        return history
    unreadable = UsageError(f"{path.name}: not a manifest this segcli can read; choose another -o")
    torn = b""
    with path.open("rb") as stream:
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:
                torn = torn or line.strip()
                continue  # the line a crash cut short; every whole line was fsynced before the next began
            if not isinstance(event, dict) or event.get("segcli_manifest", SCHEMA) != SCHEMA:
                raise unreadable
            if history.fingerprint is None and "segcli_manifest" not in event:
                raise unreadable
            _apply(event, history)
    if history.fingerprint is None and not MANIFEST_START.startswith(torn[: len(MANIFEST_START)]):
        raise unreadable  # a stranger's file, and not our first line cut short
    return history


def _apply(event: Json, history: History) -> None:
    if "segcli_manifest" in event:
        history.renew(event["fingerprint"], event["chosen"])
    elif "run" in event:
        history.at_hand.clear()
        history.facts = event
        history.scanned = (0, 0)
    elif "found" in event:
        history.scanned = (event["found"], event["planned"])
    elif "started" in event:
        # Counted at once: a run that dies cannot say so. One that ends otherwise takes it back.
        history.deaths[event["started"]] += 1
        history.at_hand.add(event["started"])
        if event["output"] is not None:
            history.announced.add(event["output"])
    elif "outcome" in event:
        outcome = Outcome.from_json(event["outcome"])
        history.outcomes[outcome.id] = outcome
        history.at_hand.discard(outcome.id)
        history.deaths[outcome.id] = 0
    elif "ended" in event:
        history.deaths.subtract(history.at_hand)
        history.at_hand.clear()


def made_before(history: History, own: Path) -> set[str]:
    """Hashes of model and settings that ``own`` manifest was last made for or, if it is new, those beside it."""
    if history.chosen and not (history.outcomes or history.announced or history.at_hand or history.deaths):
        return set()  # a run was begun and made nothing
    if history.chosen:
        return {str(history.chosen["made_for"])} if "made_for" in history.chosen else set()
    found = set()
    for path in own.parent.glob("manifest*.jsonl"):
        header = b""
        if path != own:
            with path.open("rb") as stream:
                for line in stream:
                    header = line if line.startswith(MANIFEST_START) else header
        with contextlib.suppress(ValueError, KeyError, TypeError):  # torn: its own next run will tell
            found.add(str(json.loads(header)["chosen"]["made_for"]))
    return found


class ManifestWriter:
    """Appends events; each is on the disk when the call returns. All calls raise ManifestError if that fails."""

    def __init__(
        self,
        path: Path,
        history: History,
        fingerprint: str,
        chosen: Mapping[str, Json],
        facts: RunFacts,
        *,
        private: bool,
    ) -> None:
        _cut_torn_line(path)
        mode = 0o600 if private else 0o666
        # unbuffered: what a full disk refuses must not come again when the file is closed
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
        self._stream: IO[bytes] = os.fdopen(descriptor, "ab", buffering=0)
        self._guard = threading.Lock()
        try:
            if history.fingerprint != fingerprint:
                history.renew(fingerprint, chosen)
                self._append({"segcli_manifest": SCHEMA, "fingerprint": fingerprint, "chosen": dict(chosen)})
            self._append(facts.to_json())
            flush_folder(path.parent)
        except (ManifestError, OSError):
            self.close()
            raise

    def scanned(self, found: int, planned: int) -> None:
        """The scan is over: so many cases and unreadable images, so many cases to run."""
        self._append({"found": found, "planned": planned})

    def started(self, case_id: str, output: str | None) -> None:
        """Announce a case before its first tile. ``output``: None if a file that is not ours lies there."""
        self._append({"started": case_id, "output": output})

    def ended(self) -> None:
        """The run did not die: cases at hand without an outcome have not ended it."""
        self._append({"ended": True})

    def outcome(self, outcome: Outcome) -> None:
        """Record what became of a case."""
        self._append({"outcome": outcome.to_json()})

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _append(self, event: Json) -> None:
        line = json.dumps(event, ensure_ascii=True).encode() + b"\n"
        with self._guard:
            size = os.fstat(self._stream.fileno()).st_size
            try:
                while line:
                    line = line[self._stream.write(line) :]
                os.fsync(self._stream.fileno())
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._stream.fileno(), size)  # a line is there whole or not at all
                reason = f"the manifest of the output folder cannot be written ({error.strerror}): check its disk"
                raise ManifestError(DISK_FULL if is_disk_full(error) else reason) from error


def case_key(folder: Path, token: str = "") -> bytes:
    """The secret that makes case ids of this output folder; drawn once, readable only by its owner.

    ``token``: tells this shard's temporary files from others'. Raises UsageError if it is damaged.
    """
    path = folder / KEY_NAME
    if not path.exists():
        # Shards may start together and must agree: the file appears under its name whole, and the first one stays.
        temporary = folder / f"{TEMPORARY}{token}-key-{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(32))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass  # another shard was first
            except OSError:
                temporary.replace(path)  # a file system without hard links
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(folder)
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise UsageError(f"{path}: damaged; choose another -o") from error


def _cut_torn_line(path: Path) -> None:
    """Drop what a crash left after the last newline."""
    if path.exists():
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(path, whole)
