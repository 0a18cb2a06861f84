"""Peak memory and time of ``segcli predict`` over TIFFs of growing height, read in bands and held whole.

``python benchmarks/bands.py`` makes tiled TIFFs of 1, 2 and 4 times ``--height`` rows below ``--folder`` and segments
each with the command in a process of its own; the smallest one also whole, as an image of up to 2^26 pixels is, and the
two masks must be the same file. The model takes what is brighter than the mean by half a standard deviation, so every
image is read twice: for its statistics, then for its tiles. Every mask is compared with the image pixel by pixel: one
threshold must separate the two labels. With ``--largest`` one image of 40,000 x 40,000 pixels follows.

``main`` and ``readers``: most resident memory (MB) that the command's process, and all its reader processes added up,
had at any time; what they share counts in both.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segcli.formats.interface import HOLD_PIXELS
from segcli.model_folder import save_model_folder

TOYS = Path(__file__).parent.parent / "tests" / "toys"
TILE = 512
POLL = 0.05
MOST_AT_ONCE = 2**24
"""``--max-pixels`` of the runs in bands, which makes an image be read so that would be held otherwise."""


@dataclass(frozen=True)
class Measured:
    """Megabytes and seconds of one command, and the mask it made."""

    main: float
    readers: float
    seconds: float
    mask: Path


def model(folder: Path) -> Path:
    """The toy ``brighter`` of the tests, in tiles of a usual size."""
    brighter = runpy.run_path(str(TOYS / "threshold_toys.py"))["brighter"]
    folder.mkdir(parents=True, exist_ok=True)
    card = replace(brighter.example(), tile=(TILE, TILE), overlap=(TILE // 16, TILE // 16))
    save_model_folder(folder, card, brighter.build(card).state_dict())
    return folder


def make(path: Path, rows: int, columns: int) -> None:
    """Noise over a gradient, tile by tile, so that the image is never in memory."""
    noise = np.random.default_rng(0).integers(0, 64, (256, 256)).astype(np.uint8)
    down, across = -(-rows // 256), -(-columns // 256)

    def tiles() -> Iterator[NDArray[Any]]:
        for row in range(down):
            for column in range(across):
                yield noise + np.uint8((row * 7 + column * 3) % 192)

    options: dict[str, Any] = {"tile": (256, 256), "compression": "zlib", "buffersize": 2**23}
    options |= {"photometric": "minisblack", "bigtiff": True, "metadata": None}
    tifffile.imwrite(path, tiles(), shape=(rows, columns), dtype=np.uint8, **options)


def predict(image: Path, folder: Path, output: Path, options: tuple[str, ...]) -> Measured:
    """Run the command and watch its processes."""
    if output.exists():
        shutil.rmtree(output)
    command = [sys.executable, "-m", "segcli", "predict", str(image), "-m", str(folder), "-o", str(output), *options]
    command += ["--device", "cpu", "--no-progress"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOYS), os.environ.get("PYTHONPATH", "")])}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peaks: dict[int, float] = {}
    while process.poll() is None:
        for pid in (process.pid, *readers_of(process.pid)):
            peaks[pid] = max(peaks.get(pid, 0.0), peak(pid))
        time.sleep(POLL)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    main = peaks.pop(process.pid)
    return Measured(main, sum(peaks.values()), seconds, output / image.name)


def readers_of(pid: int) -> list[int]:
    """Reader processes of a command. One that has not been replaced by its program yet shows the command's memory."""
    found: list[int] = []
    try:
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text(encoding="ascii").split())
        return [child for child in found if b"reader_process" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:  # one has just ended
        return []


def peak(pid: int) -> float:
    """Most resident memory a process has had so far, MB."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def check(image: Path, mask: Path) -> None:
    """One threshold separates the labels. Raises SystemExit if none does."""
    highest, lowest = -1, 256
    with tifffile.TiffFile(image) as images, tifffile.TiffFile(mask) as masks:
        for pixels, labels in zip(images.pages.first.segments(), masks.pages.first.segments(), strict=True):
            if pixels[0] is None or labels[0] is None or pixels[1:] != labels[1:]:
                raise SystemExit("image and mask are not tiled alike")
            _, _, row, column, _ = pixels[1]
            height, width = images.pages.first.shape  # without what fills up the last tiles
            values, found = (tile[0][0, : height - row, : width - column] for tile in (pixels, labels))
            if not found.all():
                highest = max(highest, int(values[found == 0].max()))
            if found.any():
                lowest = min(lowest, int(values[found == 1].min()))
    if not -1 < highest < lowest < 256:
        raise SystemExit(f"no threshold: label 0 up to {highest}, label 1 from {lowest}")


def table(folder: Path, height: int, width: int, largest: bool) -> None:
    """Print a line for each image and way."""
    folder.mkdir(parents=True, exist_ok=True)
    brighter = model(folder / "model")
    print(f"{'rows x columns':>16} {'way':>6} {'main MB':>8} {'readers MB':>11} {'seconds':>8}")
    sizes = [(factor * height, width) for factor in (1, 2, 4)] + [(40_000, 40_000)] * largest
    for rows, columns in sizes:
        image = folder / f"{rows}x{columns}.tif"
        if not image.exists():
            make(image, rows, columns)
        found: dict[str, Measured] = {}
        ways: dict[str, tuple[str, ...]] = {"bands": ("--max-pixels", str(min(MOST_AT_ONCE, rows * columns // 2)))}
        if rows == height:
            ways["whole"] = ()
        for way, options in ways.items():
            found[way] = done = predict(image, brighter, folder / f"out-{way}", options)
            check(image, done.mask)
            size = f"{rows} x {columns}"
            print(f"{size:>16} {way:>6} {done.main:8.0f} {done.readers:11.0f} {done.seconds:8.1f}", flush=True)
        if len(found) == 2:
            bands, whole = found["bands"], found["whole"]
            if bands.mask.read_bytes() != whole.mask.read_bytes():
                raise SystemExit("the two ways made different masks")
            print(f"bands take {bands.seconds / whole.seconds:.2f} times as long as the same image whole")


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bands-benchmark"))
    parser.add_argument("--height", type=int, default=8192)
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--largest", action="store_true")
    options = parser.parse_args()
    if options.height * options.width > HOLD_PIXELS:
        parser.error(f"{HOLD_PIXELS} pixels at most can be held whole")
    table(options.folder, options.height, options.width, options.largest)


if __name__ == "__main__":
    main()
