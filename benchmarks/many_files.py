"""A folder of 10,000 files of which one in a hundred is broken, each in another way; and a scan of 100,000.

``python benchmarks/many_files.py``: prints how many lines, which statuses, the exit code, and the memory of the run's
processes by time. ``--scan 100000`` only scans and prints the bytes kept for a file. Exit code 0 only if every file
got one line, every whole one a mask, and no broken one did.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813
import tifffile
from torture import SERIES, make_model

from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan

IN_ONE_FOLDER = 500
PAGE = os.sysconf("SC_PAGE_SIZE")


def whole_files(folder: Path) -> dict[str, bytes]:
    """A small sound file of each format, by suffix."""
    pixels = np.arange(400, dtype=np.uint8).reshape(20, 20)
    volume = sitk.GetImageFromArray(pixels.astype(np.int16)[np.newaxis])
    found = {".png": imagecodecs.png_encode(pixels), ".jpg": imagecodecs.jpeg_encode(pixels)}
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="minisblack")
    found[".tif"] = stream.getvalue()
    for suffix in (".mha", ".nrrd"):
        sitk.WriteImage(volume, str(folder / f"whole{suffix}"))
        found[suffix] = (folder / f"whole{suffix}").read_bytes()
        (folder / f"whole{suffix}").unlink()
    found[".nii"] = nibabel.Nifti1Image(pixels[..., np.newaxis].astype(np.int16), np.eye(4)).to_bytes()
    found[".dcm"] = min(SERIES.glob("*.dcm")).read_bytes()
    return found


def ways_to_break(whole: dict[str, bytes]) -> dict[str, Callable[[Path], object]]:
    """Name → a function that makes a broken file at a path."""

    def content(data: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(data)

    ways: dict[str, Callable[[Path], object]] = {}
    for suffix, data in whole.items():
        for share in (0.1, 0.6):
            ways[f"cut at {share:.0%}{suffix}"] = content(data[: max(20, int(len(data) * share))])
        if suffix != ".dcm":
            ways[f"noise after its head{suffix}"] = content(data[:24] + os.urandom(200))
    ways["empty.png"] = content(b"")
    ways["text.tif"] = content(b"this is a letter\n" * 20)
    ways["page.png"] = content(b"<!doctype html><html></html>")
    ways["archive.nii"] = content(b"PK\x03\x04" + bytes(100))
    ways["not gzip.nii.gz"] = content(b"\x1f\x8b\x08" + os.urandom(60))
    ways["cut gzip.nii.gz"] = content(gzip.compress(whole[".nii"])[:40])
    ways["huge sides.png"] = content(whole[".png"][:16] + b"\x7f\xff\xff\xff" * 2 + whole[".png"][24:])
    ways["huge sides.nii"] = content(whole[".nii"][:42] + b"\xff\x7f" * 3 + whole[".nii"][48:])
    ways["points nowhere.png"] = lambda path: path.symlink_to("nowhere")
    ways["leads out.png"] = lambda path: path.symlink_to("/etc/hostname")
    ways["pipe.png"] = os.mkfifo
    return ways


def make_folder(folder: Path, count: int) -> tuple[int, int]:
    """``count`` files, one in a hundred broken; how many whole and broken ones there are."""
    whole = whole_files(folder)
    del whole[".dcm"]  # every copy would be the same instance
    ways = list(ways_to_break(whole | {".dcm": min(SERIES.glob("*.dcm")).read_bytes()}).items())
    suffixes = list(whole)
    broken = 0
    for number in range(count):
        place = folder / f"{number // IN_ONE_FOLDER:03}"
        place.mkdir(exist_ok=True)
        if number % 100 == 99:
            name, make = ways[broken % len(ways)]
            make(place / f"{number} {name}")
            broken += 1
        else:
            suffix = ".png" if number % 10 else suffixes[number // 10 % len(suffixes)]
            (place / f"{number}{suffix}").write_bytes(whole[suffix])
    return count - broken, broken


def resident(pid: int) -> float:
    """MB in memory, shared pages included; 0 of a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE / 1e6
    except OSError:
        return 0.0


def peak(pid: int) -> float:
    """MB a process ever had in memory; 0 of one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return 0.0


def readers_of(pid: int) -> list[int]:
    """Process ids of the children of all threads."""
    try:
        listed = [path.read_text(encoding="ascii") for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # one of them has just ended
        return []
    return [int(word) for text in listed for word in text.split()]


def run_watched(home: Path) -> tuple[int, list[str], list[tuple[float, int, float]]]:
    """Exit code, lines told, and (seconds, lines so far, MB of the main process)."""
    highest = highest_reader = 0.0
    command = [sys.executable, "-m", "segcli", "predict", "in", "-m", "./model", "-o", "out", "--device", "cpu"]
    samples: list[tuple[float, int, float]] = []
    log = home / "log"
    begun = time.monotonic()
    with log.open("w") as stream, subprocess.Popen([*command, "--log-paths"], cwd=home, stdout=stream) as process:
        while process.poll() is None:
            time.sleep(1.0)
            lines = log.read_bytes().count(b"\n")
            samples.append((time.monotonic() - begun, lines, resident(process.pid)))
            highest = max(highest, peak(process.pid))
            highest_reader = max([highest_reader, *map(peak, readers_of(process.pid))])
    print(f"peak: {highest:.0f} MB of the main process, {highest_reader:.0f} MB of the largest reader")
    return process.returncode, log.read_text(encoding="utf-8").splitlines(), samples


def many(count: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        home = Path(folder)
        make_model(home / "model")
        (home / "in").mkdir()
        whole, broken = make_folder(home / "in", count)
        code, lines, samples = run_watched(home)
        told = [line for line in lines if line.count(" | ") >= 2 and " | warning" not in line]
        statuses = Counter(line.split(" | ")[2] for line in told)
        names = Counter(line.split(" | ")[0] for line in told)
        masks = sum(1 for path in (home / "out").rglob("*") if path.is_file() and path.parent != home / "out")
        print(f"{whole} whole and {broken} broken files: exit code {code}, {len(told)} lines, {dict(statuses)}")
        print(f"{masks} masks; files with more or less than one line: {sum(n != 1 for n in names.values())}")
        for seconds, so_far, megabytes in samples[:: max(1, len(samples) // 15)]:
            print(f"  {seconds:7.0f} s  {so_far:6} lines  {megabytes:6.0f} MB")
        print(f"  {samples[-1][0]:7.0f} s  {samples[-1][1]:6} lines  {samples[-1][2]:6.0f} MB")
        for path in sorted((home / "out").glob("*.*")):
            print(f"  {path.name}: {path.stat().st_size / 1e6:.1f} MB")
        for line in sorted({line.split(" | ", 3)[3] for line in told if line.split(" | ")[2] in ("failed", "skipped")}):
            print(f"  {line}")
        well = statuses["done"] + statuses["empty"]
        return code == 1 and len(told) == len(names) == count and well == whole == masks


def scan_only(count: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        home = Path(folder)
        data = whole_files(home)[".png"]
        for number in range(count):
            place = home / f"{number // IN_ONE_FOLDER:03}"
            place.mkdir(exist_ok=True)
            (place / f"{number}.png").write_bytes(data)
        with Readers(1) as readers:
            list(readers.describe("png", [home / "000" / "0.png"]))  # whatever is imported is imported
            before, begun = resident(os.getpid()), time.monotonic()
            found = scan([home], ScanOptions(key=b"key"), readers)
            seconds, after = time.monotonic() - begun, resident(os.getpid())
        kept = (after - before) * 1e6 / count
        print(f"{len(found.cases)} cases in {seconds:.0f} s; {after:.0f} MB, {kept:.0f} bytes a file")
        return len(found.cases) == count and kept < 2500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--scan", type=int, default=0)
    options = parser.parse_args()
    return 0 if (scan_only(options.scan) if options.scan else many(options.files)) else 1


if __name__ == "__main__":
    sys.exit(main())
