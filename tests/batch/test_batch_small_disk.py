"""A disk that is really full, and a /dev/shm as small as in a container."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image
from small_disk import masks

Predict = Callable[..., int]
SCRIPT = Path(__file__).with_name("small_disk.py")
UNSHARE = ["unshare", "--map-root-user", "--mount"]


@pytest.fixture(scope="module")
def inside() -> Callable[..., Any]:
    """``inside("full", ...)``: what small_disk.py prints, run where it may mount. Skips where nobody may."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
    refused = subprocess.run(probe, capture_output=True, text=True, check=False)
    if refused.returncode != 0:
        pytest.skip(f"mounting in a namespace is not permitted here: {refused.stderr.strip()[:100]}")

    def call(*arguments: object) -> Any:
        command = [*UNSHARE, sys.executable, str(SCRIPT), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


def test_a_full_disk_ends_the_run_and_a_larger_one_completes_it(
    inside: Callable[..., Any], predict: Predict, model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(24):
        Image.fromarray(np.full((20, 20), number, np.uint8)).save(source / f"{number}.png")
    for number in range(3):  # written by a library in C++
        volume = np.random.default_rng(number).integers(0, 200, (1, 20, 20), dtype=np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(volume), str(source / f"v{number}.mha"))
    predict("--batch", "1", source=source, output=tmp_path / "reference")
    reference = masks(tmp_path / "reference")
    found = inside("full", source, model, tmp_path / "small")
    assert found["first"]["code"] == 70
    assert 0 < len(found["first"]["masks"]) < len(reference) == 27
    assert found["first"]["masks"].items() <= reference.items()
    assert found["second"] == {"code": 0, "masks": reference}
    assert found["left"] == []


def test_pixels_do_not_go_through_dev_shm(inside: Callable[..., Any], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4000, 4000), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "large.mha"))
    assert inside("shm", tmp_path) == {"bytes": pixels.nbytes, "sum": int(pixels.sum())}
