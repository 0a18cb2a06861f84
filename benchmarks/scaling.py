"""Do 1000 cases cost a hundred times 10, and no more memory? ``python benchmarks/scaling.py``; two minutes.

Cases are the sample's PNG slice with other noise each, the model is the shipped one. Every run is a process of its
own; the cost of a case is what a run costs more than the next smaller one, so that start-up does not count.
Shorter: --counts 10 50 100.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np
from contest import machine

SLICE = Path(__file__).parent.parent / "sample_data" / "slice.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs=3, default=[10, 100, 1000])
    counts = parser.parse_args().counts
    print(machine())
    plane = imagecodecs.png_decode(SLICE.read_bytes())
    draw = np.random.default_rng(0)
    spent: list[tuple[int, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            images = Path(folder) / f"images{count}"
            images.mkdir()
            for number in range(count):
                noisy = np.clip(plane.astype(int) + draw.integers(-3, 4, plane.shape), 0, 255).astype(np.uint8)
                (images / f"{number:04}.png").write_bytes(imagecodecs.png_encode(noisy))
            wall, cpu, memory = run(images, Path(folder) / f"masks{count}")
            print(f"{count} cases: {wall:.1f} s, CPU {cpu:.1f} s, memory {memory:.0f} MiB", flush=True)
            spent.append((count, wall, cpu))
    (a, b, c) = spent
    for name, index in (("wall", 1), ("CPU", 2)):
        first, second = ((y[index] - x[index]) / (y[0] - x[0]) for x, y in ((a, b), (b, c)))
        print(f"{name} a case: {1e3 * first:.1f} ms at first, {1e3 * second:.1f} ms later, {second / first - 1:+.1%}")


def run(images: Path, masks: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds, readers included, and peak MiB of the main process."""
    command = [sys.executable, "-m", "segcli", "predict", str(images), "-m", "unet3p", "-o", str(masks), "-q"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if code:
        raise SystemExit(f"segcli ended with {os.waitstatus_to_exitcode(code)}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
