"""One attack: what is prepared, what is run, and what it may cost. Used by red_team.py.

Every command runs in a session of its own. Its whole tree of processes is measured every 20 ms and killed when it
takes too long or too much memory, so that an attack that succeeds harms nobody.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEGCLI = (sys.executable, "-m", "segcli")
TICK = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Place:
    """Folders of one attack: ``inputs`` is there and empty, ``output`` is not there. ``model`` finds bright pixels."""

    inputs: Path
    output: Path
    scratch: Path
    model: Path

    def predict(self, *more: str) -> tuple[str, ...]:
        return (*SEGCLI, "predict", str(self.inputs), "-m", str(self.model), "-o", str(self.output), *more)


@dataclass(frozen=True)
class Ran:
    """What a command did. ``killed``: why it was stopped from outside, or None. ``peak``: MB, the whole tree."""

    code: int
    text: str
    seconds: float
    peak: float
    killed: str | None
    place: Place

    @property
    def cases(self) -> Mapping[str, Mapping[str, Any]]:
        """Cases and left-out files of report.json by name; empty without a report."""
        path = self.place.output / "report.json"
        if not path.is_file():
            return {}
        return {case["name"]: case for case in json.loads(path.read_text(encoding="utf-8"))["cases"]}


Check = Callable[[Ran], str | None]
"""None if the attack was held, otherwise what went wrong."""


@dataclass(frozen=True)
class Attack:
    """``prepare`` makes the files and gives the command. ``codes``: exit codes that may come of it."""

    name: str
    what: str
    prepare: Callable[[Place], Sequence[str]]
    check: Check = lambda _: None
    codes: tuple[int, ...] = (0, 1, 3, 4)
    seconds: float = 30.0
    megabytes: float = 300.0
    limits: Mapping[int, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    during: Callable[[Place, float], None] | None = None


def run(attack: Attack, model: Path, base: float) -> tuple[Ran, str | None]:
    """Carry out an attack in a folder of its own. ``base``: MB that the same command takes on a harmless file."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        place = Place(folder / "IN", folder / "OUT", folder / "scratch", model)
        place.inputs.mkdir()
        place.scratch.mkdir()
        command = attack.prepare(place)
        ran = watch(command, place, attack, base + attack.megabytes)
        return ran, verdict(attack, ran)


def verdict(attack: Attack, ran: Ran) -> str | None:
    if ran.killed is not None:
        return ran.killed
    if "Traceback (most recent call last)" in ran.text:
        return "a traceback was shown"
    if ran.code not in attack.codes:
        return f"exit code {ran.code}: {ran.text.strip().splitlines()[-1:]}"
    left = [path.name for path in ran.place.output.rglob(".*.part*")] if ran.place.output.is_dir() else []
    return f"left behind: {left[0]}" if left else attack.check(ran)


def watch(command: Sequence[str], place: Place, attack: Attack, megabytes: float) -> Ran:
    def confine() -> None:
        for limit, value in attack.limits.items():
            resource.setrlimit(limit, (value, value))

    start = time.monotonic()
    with (place.scratch / "output.txt").open("w+b") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=confine,  # noqa: PLW1509 - one thread
            env={**os.environ, **attack.environment},
        )
        peak, killed = 0.0, None
        last: deque[float] = deque(maxlen=3)  # between fork and exec a process holds its parent's pages once more
        while process.poll() is None:
            last.append(tree(process.pid))
            peak = max(peak, min(last))
            seconds = time.monotonic() - start
            if attack.during is not None:
                attack.during(place, seconds)
            if seconds > attack.seconds:
                killed = f"took longer than {attack.seconds:.0f} s"
            elif peak > megabytes:
                killed = f"took {peak:,.0f} MB, {megabytes:,.0f} are allowed"
            if killed is not None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                break
            time.sleep(TICK)
        output.seek(0)
        text = output.read(1_000_000).decode("utf-8", "replace")
    return Ran(process.returncode, text, time.monotonic() - start, peak, killed, place)


def tree(pid: int) -> float:
    """MB that the processes of a session hold together; pages that two of them share count twice."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == pid:
                total += int(fields[21]) * PAGE
        except (OSError, ValueError, IndexError):
            continue
    return total / 1e6
