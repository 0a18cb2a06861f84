"""How many modules of segcli a run of ``segcli predict`` imports, for one NIfTI volume and for one DICOM series.

``python benchmarks/modules_imported.py [--list]``; some seconds. Counts those of the main process, those of the reader
process, and those of both together.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TOYS, MAKING = ROOT / "tests" / "toys", ROOT / "tests" / "formats" / "dicom"
sys.path += [str(TOYS), str(MAKING)]

import dicom_making as making  # noqa: E402
from probe import save  # noqa: E402

# Python imports this in every process that starts with its folder on the path, before anything of segcli.
WATCHER = """
import os, sys
class Watcher:
    def find_spec(name, path=None, target=None, out=os.environ["MODULES_IMPORTED_IN"], here=os.getpid()):
        if name.partition(".")[0] == "segcli":
            with open(f"{out}/{here}", "a") as stream:
                stream.write(name + "\\n")
sys.meta_path.insert(0, Watcher)
"""


def volume(folder: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 1000, (40, 40, 3)).astype(np.int16)
    nibabel.Nifti1Image(voxels, np.diag([1, 1, 2, 1])).to_filename(folder / "volume.nii.gz")


def series(folder: Path) -> None:
    making.save_all(making.stack(making.phantom()), folder / "series")


def modules(make: Callable[[Path], None]) -> tuple[set[str], set[str]]:
    """Those of the main process and those of the reader processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("in", "watch", "seen"):
            (folder / part).mkdir()
        make(folder / "in")
        (folder / "watch" / "sitecustomize.py").write_text(WATCHER)
        path = os.pathsep.join(map(str, (folder / "watch", TOYS, *filter(None, [os.environ.get("PYTHONPATH")]))))
        command = [sys.executable, "-m", "segcli", "predict", str(folder / "in"), "-o", str(folder / "out")]
        with subprocess.Popen(
            [*command, "-m", str(save(folder / "model")), "--device", "cpu", "-q"],
            env={**os.environ, "PYTHONPATH": path, "MODULES_IMPORTED_IN": str(folder / "seen")},
        ) as process:
            if process.wait() != 0:
                raise SystemExit("the run failed")
        seen = {int(file.name): set(file.read_text().split()) for file in (folder / "seen").iterdir()}
        main = seen.pop(process.pid)
        return main, set().union(*seen.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the modules too")
    given = parser.parse_args()
    for what, make in {"NIfTI": volume, "DICOM": series}.items():
        ours, readers = modules(make)
        print(f"{what}: {len(ours)} in the main process, {len(readers)} in the reader, {len(ours | readers)} together")
        for name in sorted(ours | readers) if given.list else ():
            print(f"  {'M' if name in ours else ' '}{'R' if name in readers else ' '} {name}")


if __name__ == "__main__":
    main()
