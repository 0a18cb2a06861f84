"""Writing down what is done in an output folder: one JSON line per event, on the disk before the run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from segcli.batch.events import SCHEMA
from segcli.batch.history import History
from segcli.batch.lock import not_ours
from segcli.errors import SegcliError
from segcli.formats.atomic import flush_folder, is_disk_full
from segcli.image import Json
from segcli.outcome import Outcome
from segcli.regular_file import NotRegularError, open_own
from segcli.reporting.content import RunFacts

DISK_FULL = "the disk of the output folder is full: free some space, then run again"
_BLOCK = 2**16


class ManifestError(SegcliError):
    """What was done cannot be remembered any more, so the run must end (exit code 70)."""


def manifest_name(shard: tuple[int, int] | None) -> str:
    """``manifest.jsonl``, or one per shard."""
    return "manifest.jsonl" if shard is None else f"manifest-{shard[0]}-of-{shard[1]}.jsonl"


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
        self._path = path
        self._guard = threading.Lock()
        try:
            self._file = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600 if private else 0o666)
        except NotRegularError as error:
            raise not_ours(path, error) from error
        try:
            if private:  # begun by a run without --private, it names the same files
                os.fchmod(self._file, 0o600)
            _cut_torn_line(self._file)
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
        """Record the result of a case."""
        self._append({"outcome": outcome.to_json()})

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, event: Json) -> None:
        line = json.dumps(event, ensure_ascii=True).encode() + b"\n"
        with self._guard:
            self._refuse_replaced()
            size = os.fstat(self._file).st_size
            try:
                while line:
                    line = line[os.write(self._file, line) :]
                os.fsync(self._file)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, size)  # a line is there whole or not at all
                reason = f"the manifest of the output folder cannot be written ({error.strerror}): check its disk"
                raise ManifestError(DISK_FULL if is_disk_full(error) else reason) from error

    def _refuse_replaced(self) -> None:
        """A line in a file that nobody will find again is not remembered: its folder was removed, or moved away."""
        try:
            same = os.path.samestat(os.lstat(self._path), os.fstat(self._file))
        except OSError:
            same = False
        if not same:
            raise ManifestError(
                f"the output folder was removed, moved or replaced while the run went on ({self._path.name} is gone): "
                "run again"
            )


def _cut_torn_line(file: int) -> None:
    """Drop what a crash left after the last newline, however long it is."""
    size = end = os.fstat(file).st_size
    while end:
        start = max(0, end - _BLOCK)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        end = start + newline + 1 if newline >= 0 else start
        if newline >= 0:
            break
    if end != size:
        os.ftruncate(file, end)
