"""``segcli --help`` and usage errors come at once: nothing heavy has been imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "numpy",
    "pydicom",
    "SimpleITK",
    "highdicom",
    "nibabel",
    "tifffile",
    "imagecodecs",
    "simplejpeg",
    "PIL",
}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["predict", "--help"], 0),
        (["train", "--help"], 0),
        (["evaluate", "--help"], 0),
        (["train", ".", "-m", "unet3p", "-o", "x", "--tile", "3"], 2),
        (["train", ".", "-m", "no-such-model", "-o", "x"], 2),
        (["models", "list"], 0),
        (["models", "show", "unet3p"], 0),
        (["predict", ".", "-m", "unet3p", "--overlap", "2"], 2),
        (["predict", ".", "-m", "unet3p", "--no-such-option"], 2),
    ],
)
def test_nothing_heavy_is_imported(arguments: list[str], code: int) -> None:
    program = (
        "import sys\nfrom segcli.cli.main import run\ncode = run(sys.argv[1:])\n"
        f"print(sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
