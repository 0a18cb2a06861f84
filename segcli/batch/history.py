"""What a manifest says of the runs before, and what to do with one that says what segcli never wrote."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from segcli.batch.events import SCHEMA, fault_of, kind_of, lines_of, parsed
from segcli.batch.lock import not_ours
from segcli.errors import UsageError
from segcli.formats.walk import MANIFEST_START
from segcli.image import Json
from segcli.outcome import Outcome
from segcli.regular_file import NotRegularError, open_regular

WAY_OUT = (
    "--rebuild sets it aside, keeps every mask that comes out the same again, and fails where another file lies; "
    "or choose another -o"
)


@dataclass
class History:
    """What a manifest says: its fingerprint, and of each case the last outcome and how many runs died over it.

    ``announced``: masks that are ours although no outcome lists them. ``in_flight``: started in the run that is being
    read and without an outcome so far. ``facts``: of the last run, see :class:`RunFacts`; ``scanned``: how many cases
    it found and planned.
    """

    fingerprint: str | None = None
    chosen: Mapping[str, Json] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    crash_count: Counter[str] = field(default_factory=Counter)
    announced: set[str] = field(default_factory=set)
    in_flight: set[str] = field(default_factory=set)
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
        self.crash_count.clear()
        self.fingerprint, self.chosen = fingerprint, chosen

    def take(self, event: Json) -> None:
        """One more line, which has been checked."""
        match kind_of(event):
            case "segcli_manifest":
                self.renew(event["fingerprint"], event["chosen"])
            case "run":
                self.in_flight.clear()
                self.facts = event
                self.scanned = (0, 0)
            case "found":
                self.scanned = (event["found"], event["planned"])
            case "started":
                # Counted at once: a run that dies cannot say so. One that ends otherwise takes it back.
                self.crash_count[event["started"]] += 1
                self.in_flight.add(event["started"])
                if event["output"] is not None:
                    self.announced.add(event["output"])
            case "outcome":
                outcome = Outcome.from_json(event["outcome"])
                self.outcomes[outcome.id] = outcome
                self.in_flight.discard(outcome.id)
                self.crash_count[outcome.id] = 0
            case "ended":
                self.crash_count.subtract(self.in_flight)
                self.in_flight.clear()


def read_manifest(path: Path) -> History:
    """The history; lines that a crash cut short are ignored.

    Raises UsageError for a foreign file, another version's, and one that holds what segcli never writes.
    """
    history = History()
    torn = b""
    try:
        stream = open_regular(path, follow_links=False)
    except FileNotFoundError:
        return history
    except NotRegularError as error:
        raise not_ours(path, error) from error
    with stream:
        for number, line in enumerate(lines_of(stream), 1):
            try:
                event = parsed(line)
            except ValueError:
                torn = line.strip()
                if line.endswith(b"\n") and (history.fingerprint is not None or line.startswith(MANIFEST_START)):
                    # a crash cuts the last line short and no other: what is lost here may be a change of the model
                    raise UsageError(f"{path}: line {number} is damaged; {WAY_OUT}") from None
                continue
            word = kind_of(event)
            if word is None and history.fingerprint is None:
                raise _foreign(path)
            if word == "segcli_manifest" and event[word] != SCHEMA:
                raise UsageError(f"{path}: of another version of segcli; {WAY_OUT}")
            where = fault_of(event)
            if where is not None or (history.fingerprint is None and word != "segcli_manifest"):
                at = f" at {where}" if where else ""
                raise UsageError(f"{path}: line {number} is not as segcli wrote it{at}; {WAY_OUT}")
            history.take(event)
    if history.fingerprint is None and not MANIFEST_START.startswith(torn[: len(MANIFEST_START)]):
        raise _foreign(path)  # a stranger's file, and not our first line cut short
    return history


def set_aside(path: Path) -> Path | None:
    """Give a manifest another name, so that a new one can be begun; where it is now, or None if there was none.

    Raises UsageError if no line of it is segcli's: then it is a stranger's file, which stays.
    """
    try:
        with open_regular(path, follow_links=False) as stream:
            ours = False
            empty = True
            for line in lines_of(stream):
                empty = False
                with suppress(ValueError):
                    ours = ours or line.startswith(MANIFEST_START) or kind_of(parsed(line)) is not None
                if ours:
                    break
    except FileNotFoundError:
        return None
    except NotRegularError as error:
        raise not_ours(path, error) from error
    if not (ours or empty):
        raise _foreign(path)
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.bad-{number}")):
        number += 1
    path.rename(aside)
    return aside


def made_before(history: History, own: Path) -> list[tuple[str, Json]]:
    """What ``own`` manifest was last made for or, if it is new, those beside it: the hash and the facts of each."""
    if history.chosen and not (history.outcomes or history.announced or history.in_flight or history.crash_count):
        return []  # a run was begun and made nothing
    if history.chosen:
        beside = [history]
    else:
        beside = [_begun(path) for path in sorted(own.parent.glob("manifest*.jsonl")) if path != own]
    return [(str(one.chosen["made_for"]), one.facts) for one in beside if "made_for" in one.chosen]


def _begun(path: Path) -> History:
    """What another shard's manifest was made for and by which run; what is wrong in it its own next run will tell."""
    found = History()
    with suppress(OSError), open_regular(path, follow_links=False) as stream:
        for line in lines_of(stream):
            if line.startswith((MANIFEST_START, b'{"run"')):
                with suppress(ValueError):
                    event = parsed(line)
                    if fault_of(event) is None:
                        found.take(event)
    return found


def _foreign(path: Path) -> UsageError:
    return UsageError(f"{path}: not a manifest of segcli; choose another -o")
