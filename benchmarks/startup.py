"""Start-up: ``segcli --help``, ``segcli models list``, and the first mask of a fresh process
(the shipped model, one PNG).

``python benchmarks/startup.py``; a minute. Goals: 0.15 s, 0.4 s.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contest import machine

SLICE = Path(__file__).parent.parent / "sample_data" / "slice.png"


def measure(arguments: list[str], times: int) -> tuple[float, float]:
    """Medians of wall and CPU seconds, after one run that fills the caches."""
    walls, cpus = [], []
    for number in range(times + 1):
        before, start = used(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "segcli", *arguments], stdout=subprocess.DEVNULL, check=True)
        if number:
            walls.append(time.perf_counter() - start)
            cpus.append(used() - before)
    return statistics.median(walls), statistics.median(cpus)


def used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(machine())
    for arguments in (["--help"], ["models", "list"]):
        wall, cpu = measure(arguments, 15)
        print(f"segcli {' '.join(arguments):<12} {wall:.3f} s, CPU {cpu:.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = measure(["predict", str(SLICE), "-m", "unet3p", "-o", f"{folder}/out", "-q", "--overwrite"], 3)
    print(f"first mask          {wall:.2f} s, CPU {cpu:.2f} s")


if __name__ == "__main__":
    main()
