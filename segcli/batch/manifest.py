"""The memory of an output folder: one JSON line per event, on the disk before anything follows from it.

Lines are ``header`` (model, settings, versions, what auto chose), ``run``, ``started`` (case, intended output),
``outcome`` and ``end``. A run without ``end`` has died. A line cut short by a crash is dropped when the file is opened.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from segcli.batch.key import Identity
from segcli.batch.lock import lock
from segcli.errors import UsageError
from segcli.outcome import SCHEMA, Ended, Job, Outcome


@dataclass
class History:
    """What a manifest tells. ``outputs``: relative paths that are ours. ``deaths``: dead runs per case they were at."""

    identity: Identity | None = None
    auto: Mapping[str, Any] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    deaths: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    _open: set[str] = field(default_factory=set)

    def take(self, line: Mapping[str, Any]) -> None:
        """Take in one line. Raises KeyError, TypeError or ValueError if it is not as it should be."""
        kind = line["kind"]
        if kind == "header":
            self._take_death()
            self.deaths.clear()  # they were another model's, or another setting's
            self.identity = Identity(**line["identity"])
            self.auto = line["auto"]
        elif kind == "run":
            self._take_death()
        elif kind == "started":
            self._open.add(line["case"])
            self._own(line["output"])
        elif kind == "outcome":
            outcome = Outcome.from_json(line["outcome"])
            self.outcomes[outcome.id] = outcome
            self._open.discard(outcome.id)
            self.deaths.pop(outcome.id, None)
            self._own(outcome.output)
        elif kind == "end":
            self._open.clear()

    def close(self) -> None:
        """No more lines: the last run is dead too, if it did not say that it ended."""
        self._take_death()

    def _take_death(self) -> None:
        self.deaths.update(self._open)
        self._open.clear()

    def _own(self, output: str | None) -> None:
        if output is not None:
            self.outputs.add(output)


def read_history(path: Path) -> History:
    """The history in a manifest, empty if there is none; lines that cannot be read are counted, not trusted.

    Raises UsageError if a later segcli wrote it.
    """
    history = History()
    try:
        with path.open("rb") as stream:
            for text in stream:
                _take_line(history, text, path)
    except FileNotFoundError:
        return history
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    history.close()
    return history


def _take_line(history: History, text: bytes, path: Path) -> None:
    try:
        line = json.loads(text)
        version = line["schema"]
        if version == SCHEMA:
            history.take(line)
    except (ValueError, KeyError, TypeError):
        history.damaged += 1
        return
    if isinstance(version, int) and version > SCHEMA:
        raise UsageError(f"{path}: written by a later segcli; use that one, or choose another -o")


class Manifest:
    """A manifest held open and locked by this run; threads may append to it.

    ``history``: what earlier runs left in it.
    """

    def __init__(self, path: Path, private: bool = False) -> None:
        """Raises UsageError if another run holds it or it cannot be written."""
        self.path = path
        self._guard = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._descriptor = os.open(path, flags, 0o600 if private else 0o666)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another -o") from error
        try:
            lock(self._descriptor, path)
            self._size = _cut_torn_line(self._descriptor)
            self.history = read_history(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def header(self, identity: Identity, auto: Mapping[str, Any]) -> None:
        """State what the lines from here on were made with."""
        self._append({"kind": "header", "identity": asdict(identity), "auto": dict(auto)})

    def run(self) -> None:
        """A run begins."""
        self._append({"kind": "run", "run": secrets.token_hex(6)})

    def started(self, job: Job) -> None:
        """A case goes into the network. Its output is announced as ours unless a stranger's file lies there."""
        output = None if job.foreign else str(job.case.output)
        self._append({"kind": "started", "case": job.case.id, "output": output})

    def outcome(self, outcome: Outcome) -> None:
        """What became of a case."""
        self._append({"kind": "outcome", "outcome": outcome.to_json()})

    def end(self, ended: Ended) -> None:
        """The run ends as it should; what is started without an outcome has not killed it."""
        self._append({"kind": "end", "ended": ended})

    def _append(self, line: Mapping[str, Any]) -> None:
        """Write and fsync a line, or leave the file as it was. Raises OSError."""
        data = json.dumps({"schema": SCHEMA, **line}, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with self._guard:
            try:
                written = 0
                while written < len(data):
                    written += os.pwrite(self._descriptor, data[written:], self._size + written)
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
            self._size += len(data)


def _cut_torn_line(descriptor: int) -> int:
    """Cut what a crash left after the last newline; returns the size then."""
    size = os.fstat(descriptor).st_size
    position = size
    while position:
        start = max(0, position - 65536)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position != size:
        os.ftruncate(descriptor, position)
    return position
