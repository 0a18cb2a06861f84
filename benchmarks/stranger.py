"""What a stranger does with segcli, from ``models new`` to a run, in two fresh environments with full installs.

``python benchmarks/stranger.py WORK [CHECKOUT]``; a quarter of an hour with two cores, most of it installing and
training. Environments already in WORK are used as they are. Ends with exit code 1 where a promise is not kept:

- a scaffold, edited to a residual U-Net with a presence head, is trained on generated data, gets a gate, is installed
  as a wheel by somebody else, keeps the contract, and its gate turns tiles away without a false positive;
- the shipped ``unet3p``, exported to TorchScript and ONNX and wrapped, draws the masks of the original;
- a broken, a noisy and a hostile plugin change no byte of the others' masks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
import venv
from pathlib import Path

HERE = Path(__file__).parent
NAME = "disc-finder"
GENERATE = """
import sys, numpy as np, nibabel
from pathlib import Path
folder, cases, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
draw = np.random.default_rng(seed)
rows, columns = np.mgrid[:40, :40]
for name in ("images", "masks"):
    (folder / name).mkdir(parents=True)
for case in range(cases):
    image, mask = draw.normal(0, 0.3, (30, 40, 40)), np.zeros((30, 40, 40), np.uint8)
    for plane, truth in zip(image, mask):
        for sign in (1, -1):  # bright discs are objects, dark ones are not
            if draw.random() < 0.33:
                row, column, radius = draw.uniform(9, 31, 2).tolist() + [draw.uniform(4, 8)]
                disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
                plane[disc] = sign * draw.uniform(1.5, 3)
                truth[disc] = sign > 0
    for name, voxels in (("images", image.astype(np.float32)), ("masks", mask)):
        nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), np.eye(4)), folder / name / f"c{case:03}.nii.gz")
"""
JUDGE = """
import sys, numpy as np, nibabel
from pathlib import Path
false, empty, both, total = 0, 0, 0, 0
for path in sorted(Path(sys.argv[1]).glob("*.nii.gz")):
    mask, truth = (np.asarray(nibabel.load(p).dataobj) > 0 for p in (path, Path(sys.argv[2]) / path.name))
    nothing = ~truth.any(axis=(0, 1))
    empty += int(nothing.sum())
    false += int(mask[..., nothing].any(axis=(0, 1)).sum())
    both += int((mask & truth).sum()); total += int(mask.sum() + truth.sum())
print(false, empty, 2 * both / total)
"""
EXPORT = """
import json, sys, torch
from dataclasses import asdict
from pathlib import Path
from segcli.catalog import load_catalog
from segcli.engine.model import load_model
from segcli.wrap import ASKED
folder = Path(sys.argv[1])
loaded = load_model("unet3p", load_catalog({"unet3p"}))
x = torch.randn(2, loaded.card.network_channels, *loaded.card.tile)
torch.jit.save(torch.jit.trace(loaded.network, x, check_trace=False), folder / "unet3p.pt")
torch.onnx.export(loaded.network, (x,), folder / "unet3p.onnx", dynamo=True, external_data=False, verbose=False,
                  dynamic_shapes=({0: torch.export.Dim("batch")},))
card = {name: value for name, value in asdict(loaded.card).items() if name in ASKED}
(folder / "card.json").write_text(json.dumps(card))
"""
NEIGHBOURS = {
    "broken": "raise ImportError('no licence')",
    "noisy": "print('welcome'); import os; os.write(2, b'from below'); import logging; logging.basicConfig(level=10)",
    "hostile": """
import locale, multiprocessing, os, random, signal, sys, warnings
import numpy, torch
torch.set_num_threads(1); torch.set_default_dtype(torch.float64); torch.set_default_device("meta")
torch.set_grad_enabled(False); torch.use_deterministic_algorithms(True); torch.set_flush_denormal(True)
torch.set_float32_matmul_precision("medium"); torch.set_autocast_enabled("cpu", True)
torch.manual_seed(1); random.seed(1); numpy.random.seed(1); numpy.seterr(all="raise")
signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.environ.clear(); os.chdir("/"); os.umask(0); sys.path.insert(0, "/nowhere"); sys.setrecursionlimit(60)
warnings.simplefilter("error"); multiprocessing.set_start_method("fork", force=True); sys.excepthook = print
""",
}
OBJECT = """
class Plugin:
    api, name, summary = 1, "{name}", "a bad neighbour"
    def example(self): ...
    def build(self, card): ...
    def default(self): return None
plugin = Plugin()
"""
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}-neighbour"
version = "1.0"
[project.entry-points."segcli.models"]
{name} = "{name}_neighbour:plugin"
[tool.setuptools]
py-modules = ["{name}_neighbour"]
"""


class Environment:
    """A virtual environment; made where it is not there yet."""

    def __init__(self, folder: Path, work: Path, *packages: str) -> None:
        self.bin, self.work = folder / "bin", work
        if (self.bin / "segcli").exists():  # what an earlier walk left
            self.run("pip", "uninstall", "-q", "-y", NAME, *(f"{name}-neighbour" for name in NEIGHBOURS))
            return
        if not (self.bin / "pip").exists():
            venv.create(folder, with_pip=True)
        self.run("pip", "install", "-q", *packages)

    def run(self, *words: str | Path) -> str:
        """Run a program of the environment; returns what it printed."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        start = time.perf_counter()
        command = [str(self.bin / words[0]), *map(str, words[1:])]
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, check=False)
        shown = "".join(c if c.isprintable() else " " for c in " ".join(map(str, words)))
        print(f"$ {shown[:110]}  [{time.perf_counter() - start:.0f} s]", flush=True)
        must(done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def must(kept: bool, text: str) -> None:
    if not kept:
        raise SystemExit(text)


def masks(folder: Path) -> dict[str, bytes]:
    """Every mask, without manifest and reports."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {n: data for n, data in found.items() if not n.startswith((".", "manifest", "report", "volumes"))}


def a_model_of_ones_own(author: Environment, user: Environment, work: Path) -> None:
    project, module = work / NAME, NAME.replace("-", "_")
    author.run("segcli", "models", "new", NAME, "--gated", "-o", project)
    shutil.copy(HERE / "stranger_network.py", project / "src" / module / "network.py")
    author.run("pip", "install", "-q", "-e", f"{project}[test]")
    author.run("pytest", "-q", project / "tests")
    author.run("python", "-c", GENERATE, work / "set", "80", "0")
    author.run("python", "-c", GENERATE, work / "unseen", "12", "1")
    trained = author.run(
        "segcli", "train", work / "set", "-m", NAME, "-o", work / "trained", "--steps", "300", "--batch", "16",
        "--validate-every", "300", "--validation", "30", "--test", "6", "--rate", "0.01", "--average", "0.98",
        "--option", "width=8", "--precision", "float32",
    )  # fmt: skip
    print("\n".join(line for line in trained.splitlines() if "gate" in line))
    shutil.copytree(work / "trained", project / "src" / module / "weights")
    author.run("pip", "wheel", "-q", "--no-deps", "-w", work / "wheels", project)
    user.run("pip", "install", "-q", *(work / "wheels").glob("*.whl"))
    must(NAME in user.run("segcli", "models", "list"), "it is not listed")
    print(user.run("segcli", "models", "check", NAME))
    user.run("segcli", "models", "check", user.work / "trained")
    user.run("segcli", "predict", work / "unseen/images", "-m", NAME, "-o", work / "masks")
    report = json.loads((work / "masks/report.json").read_text())
    share = report["tiles_gated"] / report["tiles"]
    false, empty, dice = user.run("python", "-c", JUDGE, work / "masks", work / "unseen/masks").split()
    print(f"gated {share:.0%} of {report['tiles']} tiles; {false} of {empty} empty slices have a pixel; Dice {dice}")
    print(f"distribution in the report: {report['model']['distribution']}")
    must(share > 0 and int(false) == 0 and int(empty) > 0, "the gate does not do its work")


def exports_of_the_shipped_model(author: Environment, user: Environment, work: Path, sample: Path) -> None:
    author.run("python", "-W", "ignore", "-c", EXPORT, work)
    common = ("--precision", "float32", "--gate", "off", "--device", "cpu")
    user.run("segcli", "predict", sample, "-m", "unet3p", "-o", work / "original", *common)
    for file in ("unet3p.pt", "unet3p.onnx"):
        model = work / f"wrapped.{file}"
        user.run("segcli", "models", "wrap", work / file, "--card", work / "card.json", "-o", model)
        user.run("segcli", "models", "check", model)
        user.run("segcli", "predict", sample, "-m", model, "-o", work / f"masks.{file}", *common)
        different = user.run("python", "-c", COMPARE, work / "original", work / f"masks.{file}", sample)
        print(f"{file}: {different}")
        must(different.startswith("0 pixels differ"), "the export draws something else")


COMPARE = """
import sys, numpy
from pathlib import Path
import pydicom, tifffile
from PIL import Image
def pixels(path):
    if path.suffix == ".dcm": return pydicom.dcmread(path).pixel_array
    return tifffile.imread(path) if path.suffix == ".tif" else numpy.asarray(Image.open(path))
one, other = Path(sys.argv[1]), Path(sys.argv[2])
files = [p.relative_to(one) for p in sorted(one.rglob("*")) if p.suffix in (".dcm", ".tif", ".png")]
found = [(pixels(one / f), pixels(other / f)) for f in files]
print(sum(int((a != b).sum()) for a, b in found), "pixels differ of", sum(a.size for a, _ in found), "in",
      len(files), "files, labelled", sum(int((a > 0).sum()) for a, _ in found))
"""


def bad_neighbours(user: Environment, work: Path, sample: Path) -> None:
    runs = {"unet3p": sample, NAME: work / "unseen/images"}
    for model, images in runs.items():
        user.run("segcli", "predict", images, "-m", model, "-o", work / f"alone.{model}")
    for name, source in NEIGHBOURS.items():
        project = work / f"neighbour-{name}"
        project.mkdir()
        (project / f"{name}_neighbour.py").write_text(source + OBJECT.format(name=name))
        (project / "pyproject.toml").write_text(PROJECT.format(name=name))
        user.run("pip", "install", "-q", project)
    print(user.run("segcli", "models", "list"))
    for model, images in runs.items():
        user.run("segcli", "predict", images, "-m", model, "-o", work / f"beside.{model}")
        alone, beside = masks(work / f"alone.{model}"), masks(work / f"beside.{model}")
        must(bool(alone) and alone == beside, f"{model}: a neighbour changed a mask")
        print(f"{model}: {len(alone)} masks, byte for byte the same beside {', '.join(NEIGHBOURS)}")
    user.run("pip", "uninstall", "-q", "-y", *(f"{name}-neighbour" for name in NEIGHBOURS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("checkout", type=Path, nargs="?", default=HERE.parent)
    arguments = parser.parse_args()
    work, checkout = arguments.work.resolve(), arguments.checkout.resolve()
    sample = checkout / "sample_data"
    work.mkdir(parents=True, exist_ok=True)
    author = Environment(work / "author", work, f"{checkout}[test]")
    user = Environment(work / "user", work, f"{checkout}[onnx]")
    a_model_of_ones_own(author, user, work)
    exports_of_the_shipped_model(author, user, work, sample)
    bad_neighbours(user, work, sample)
    print("every promise kept")


if __name__ == "__main__":
    main()
