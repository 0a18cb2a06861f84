"""Runs contestants in turns, each in a process of its own that stays warm, and compares medians.

In turns, because a machine is never equally busy for minutes; in processes of their own, because peak memory and the
settings of an allocator belong to a process. CPU time is shown beside wall time: of the two it is the one that other
programs on the machine disturb less.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass
class Contestant:
    """``script`` is started with ``settings`` as JSON and answers every line it is sent with one line of JSON."""

    name: str
    script: str
    settings: Mapping[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def median(self, what: str) -> float:
        """The median of a number over all rounds."""
        return float(statistics.median(each[what] for each in self.rounds))

    def start(self) -> subprocess.Popen[str]:
        """The process, told what to do and not yet at it."""
        command = [sys.executable, "-W", "ignore", str(HERE / self.script), json.dumps(dict(self.settings))]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)


def contest(contestants: Sequence[Contestant], rounds: int) -> None:
    """One round to warm up, then ``rounds`` that count, every contestant once a round."""
    processes = [contestant.start() for contestant in contestants]
    try:
        for number in range(rounds + 1):
            for contestant, process in zip(contestants, processes, strict=True):
                answer = _ask(process, contestant.name)
                print(f"  round {number or 'warm-up'}: {contestant.name}: {answer['wall']:.1f} s", flush=True)
                if number:
                    contestant.rounds.append(answer)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _ask(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101 - a benchmark
    process.stdin.write("go\n")
    process.stdin.flush()
    with peak_memory(process.pid) as peak:
        for line in process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return {**answer, "memory": peak[0]}
    raise SystemExit(f"{name} ended with {process.wait()} and without an answer")


@contextlib.contextmanager
def peak_memory(pid: int) -> Iterator[list[float]]:
    """The most MiB a process and its descendants held together meanwhile, looked at three times a second.

    Pages they share count once (PSS). ``ru_maxrss`` would not do: a child begins with what its parent had when it was
    started.
    """
    peak, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            peak[0] = max(peak[0], sum(map(_pss, _tree(pid))) / 1024)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _tree(root: int) -> set[int]:
    """The process and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, more = {root}, {root}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more}
        found |= more
    return found


def _pss(pid: int) -> int:
    """KiB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def serve(work: Callable[[], dict[str, Any]], threads: int) -> None:
    """In a contestant: do ``work`` for every line that comes, and answer what it cost."""
    import torch  # noqa: PLC0415 - the one who asks needs no torch

    torch.set_num_threads(threads)
    for _ in sys.stdin:
        before = _cpu()
        start = time.perf_counter()
        answer = work()
        answer["wall"] = time.perf_counter() - start
        answer["cpu"] = _cpu() - before
        print(json.dumps(answer), flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def machine() -> str:
    """The kind of machine, for the first line of a result."""
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores, torch {torch.__version__}"
    capability = torch.backends.cpu.get_cpu_capability()
    matrices = "with" if torch.cpu._is_amx_tile_supported() else "without"
    return f"{os.cpu_count()}-core {platform.machine()} CPU, {capability}, {matrices} AMX, torch {torch.__version__}"


def table(contestants: Sequence[Contestant], base: Contestant, unit: str, count: int) -> None:
    """One row a contestant; ``×`` is how often ``base`` could do it in the same time."""
    print(f"\n{'':<34}{'s':>8}{'CPU s':>8}{unit + '/s':>10}{'MiB':>7}{'×':>8}{'× CPU':>8}")
    for each in contestants:
        wall, cpu = each.median("wall"), each.median("cpu")
        faster, leaner = wall / base.median("wall"), cpu / base.median("cpu")
        memory = max(r["memory"] for r in each.rounds)
        print(f"{each.name:<34}{wall:>8.2f}{cpu:>8.2f}{count / wall:>10.2f}{memory:>7.0f}{faster:>8.2f}{leaner:>8.2f}")
