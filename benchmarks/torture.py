"""A run is killed at random moments, then run again: nothing may be lost, half-written, different or left behind.

``python benchmarks/torture.py --kills 50``. Each round begins with an empty output folder: a run is killed with
SIGKILL (every fifth time with SIGINT or SIGTERM, once or twice) at a random moment, one in five while it still starts,
the others drawn evenly over the time in which an undisturbed run works. What lies in the folder is looked at; every
third round kills the second run too; then a run is left alone, and every file is compared with the undisturbed run's
by SHA-256. Exit code 0 only if all counts are 0.

A process that is killed loses nothing that the kernel already has: power failures are not shown by this.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813
import tifffile
import torch
from PIL import Image

from segcli.catalog import load_catalog
from segcli.model_folder import save_model_folder

SERIES = Path(__file__).parent.parent / "sample_data" / "mr_series"
BOOKS = ("manifest", "report", "volumes")
"""What lies beside the masks and tells of times, so that no two runs make the same."""
DEATHS_OF_A_CASE = "runs, the last one alone"


@dataclass
class Tally:
    """``partial``: files under a final name that no undisturbed run wrote, seen right after a kill.

    ``too_late``: signals that found the run at its end; they are no kills.
    """

    kills: Counter[str] = field(default_factory=Counter)
    too_late: int = 0
    lost: int = 0
    partial: int = 0
    different: int = 0
    temporaries: int = 0
    unfinished: int = 0
    masks_seen_at_kills: int = 0
    retried: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.partial or self.different or self.temporaries or self.unfinished)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        return (
            f"{sum(self.kills.values())} kills ({kills}; {self.too_late} more came too late), "
            f"{self.masks_seen_at_kills} masks looked at right after them: "
            f"{self.lost} lost / {self.partial} partial / {self.different} different / "
            f"{self.temporaries} temporaries left / {self.unfinished} runs that did not finish"
            f" ({self.retried} needed --retry-failed)"
        )


def make_model(folder: Path) -> None:
    """The smallest network that segcli ships, with random weights drawn from a fixed seed."""
    plugin = load_catalog().find("unet").plugin
    torch.manual_seed(0)
    card = plugin.example()
    save_model_folder(folder, card, plugin.build(card).state_dict())


def make_inputs(folder: Path, pictures: int) -> None:
    """``pictures`` PNG files in three folders and, of every other format, a few."""
    draw = np.random.default_rng(0)
    for number in range(pictures):
        path = folder / f"ward {number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (70 + number, 90), dtype=np.uint8)).save(path)
    for number in range(max(1, pictures // 10)):
        volume = draw.integers(0, 900, (3, 48, 52), dtype=np.int16)
        nibabel.Nifti1Image(volume.T, np.diag([1, 1, 2, 1])).to_filename(folder / f"{number}.nii.gz")
        sitk.WriteImage(sitk.GetImageFromArray(volume), str(folder / f"{number}.mha"))
        sitk.WriteImage(sitk.GetImageFromArray(volume), str(folder / f"{number}.nrrd"))
        tifffile.imwrite(folder / f"{number}.tif", volume.astype(np.uint16), photometric="minisblack")
    series = folder / "series"
    series.mkdir()
    for path in sorted(SERIES.glob("*.dcm"))[:5]:
        (series / path.name).write_bytes(path.read_bytes())


def masks(output: Path) -> dict[str, str]:
    """SHA-256 by name of everything but the books, hidden files and temporaries."""
    found = {}
    for path in sorted(output.rglob("*")):
        if path.is_file() and not path.name.startswith((".", *BOOKS)):
            found[str(path.relative_to(output))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def temporaries(output: Path) -> list[str]:
    """Every hidden file but the key and the locks."""
    return [
        str(path.relative_to(output))
        for path in output.rglob(".*")
        if path.name != ".segcli-key" and not path.name.endswith(".jsonl.lock")
    ]


@dataclass(frozen=True)
class Torture:
    """Runs of one command line in a folder of their own."""

    home: Path

    @property
    def output(self) -> Path:
        return self.home / "masks"

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "segcli", "predict", "inputs", "-m", "./model", "-o", str(self.output)]
        command += ["--device", "cpu", "--batch", "4", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=self.home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            process_group=0,
        )  # fmt: skip

    def undisturbed(self) -> tuple[dict[str, str], float, float]:
        """Masks of a run nobody disturbs, and for how many seconds it starts and works."""
        begun = time.monotonic()
        with self.start() as process:
            self.await_work(process, 0)
            working = time.monotonic()
            code = process.wait()
        ended = time.monotonic()
        if code != 0:
            raise SystemExit(f"the undisturbed run ended with {code}")
        found = masks(self.output)
        self.set_aside("reference")
        return found, working - begun, ended - working

    def books(self) -> int:
        """Bytes of the manifest; it grows when a run begins to work."""
        path = self.output / "manifest.jsonl"
        return path.stat().st_size if path.exists() else 0

    def await_work(self, process: subprocess.Popen[bytes], size: int) -> None:
        while process.poll() is None and self.books() == size:
            time.sleep(0.002)

    def set_aside(self, name: str) -> None:
        """The output folder under another name; for the next run there is none."""
        self.output.rename(self.home / name)

    def kill_one(self, how: str, after: float, while_starting: bool) -> int:
        """Start a run, stop it so many seconds after it started, or began to work; returns its exit code.

        A negative code is the signal it died of.
        """
        size = self.books()
        with self.start() as process:
            if not while_starting:
                self.await_work(process, size)
            try:
                return process.wait(after)
            except subprocess.TimeoutExpired:
                pass
            for word in how.split("+"):
                process.send_signal(getattr(signal, word))
                time.sleep(0.05)
            return process.wait(120)


def ways() -> Iterator[str]:
    """How the rounds are killed, for ever."""
    while True:
        for gentle in ("SIGTERM", "SIGINT", "SIGINT+SIGINT", "SIGTERM+SIGTERM"):
            yield from (*["SIGKILL"] * 4, gentle)


def look(output: Path, reference: dict[str, str], tally: Tally, when: str) -> None:
    """Right after a kill: what has its final name must be whole."""
    found = masks(output) if output.exists() else {}
    tally.masks_seen_at_kills += len(found)
    wrong = [name for name, digest in found.items() if reference.get(name) != digest]
    tally.partial += len(wrong)
    tally.remarks += [f"{when}: partial {name}" for name in wrong]


def finish(torture: Torture, reference: dict[str, str], tally: Tally, when: str) -> None:
    """A run left alone, and everything compared."""
    code = torture.start().wait(600)
    if code == 1 and DEATHS_OF_A_CASE in (torture.output / "report.json").read_text(encoding="utf-8"):
        tally.retried += 1  # two kills met the same case: as documented, it is left alone until asked for
        torture.start("--retry-failed").wait(600)
        code = torture.start().wait(600)
    if code != 0:
        tally.unfinished += 1
        tally.remarks.append(f"{when}: the last run ended with {code}")
    found = masks(torture.output)
    lost = sorted(reference.keys() - found.keys())
    different = sorted(name for name, digest in found.items() if reference.get(name) != digest)
    left = temporaries(torture.output)
    tally.lost += len(lost)
    tally.different += len(different)
    tally.temporaries += len(left)
    tally.remarks += [f"{when}: lost {lost}, different {different}, left {left}"] * bool(lost or different or left)


def run(home: Path, kills: int, pictures: int, seed: int) -> Tally:
    """Everything; ``home`` must be empty."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    torture, tally = Torture(home), Tally()
    make_model(home / "model")
    make_inputs(home / "inputs", pictures)
    reference, starting, working = torture.undisturbed()
    print(f"undisturbed: {len(reference)} masks, {starting:.1f} s to start, {working:.1f} s of work", flush=True)
    kinds = ways()
    number = 0
    while sum(tally.kills.values()) < kills:
        number += 1
        for _ in range(2 if number % 3 == 0 and sum(tally.kills.values()) + 1 < kills else 1):
            how, early = next(kinds), draw.random() < 0.2
            after = draw.random() * (starting if early else working)
            code = torture.kill_one(how, after, early)
            if code == 0:
                how, working = f"{how} too late", 0.9 * working  # the machine is faster now
                tally.too_late += 1
            else:
                tally.kills[how] += 1
            when = f"round {number}, {how} {after:.2f} s after its {'start' if early else 'first line'}, code {code}"
            print(when, flush=True)
            look(torture.output, reference, tally, when)
        finish(torture, reference, tally, when)
        torture.set_aside(f"round {number}")
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        tally = run(Path(folder), options.kills, options.pictures, options.seed)
    for remark in tally.remarks:
        print(remark)
    print(tally)
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
