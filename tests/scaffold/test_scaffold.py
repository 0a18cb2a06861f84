"""A new model as it is written: installs, passes its own tests, is listed, and runs once it has weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.cli.main import run

BUILD = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"


def call(*arguments: str, folder: Path, installed: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def install(project: Path, target: Path) -> None:
    """What pip does with a pure wheel: build it by its own backend, unpack it."""
    built = call("-c", BUILD, str(target), folder=project, installed=target)
    assert built.returncode == 0, built.stderr
    (wheel,) = target.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(target)


def test_as_generated_it_keeps_the_contract(tmp_path: Path) -> None:
    project, site = tmp_path / "project", tmp_path / "site"
    site.mkdir()
    assert run(["models", "new", "toy-organ", "-o", str(project)]) == 0
    install(project, site)
    tests = call("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", folder=project, installed=site)
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "2 passed" in tests.stdout


@pytest.mark.slow
def test_it_installs_says_that_it_is_untrained_and_runs(tmp_path: Path) -> None:
    project, site = tmp_path / "project", tmp_path / "site"
    site.mkdir()
    assert run(["models", "new", "toy-organ", "-o", str(project), "--gated"]) == 0
    install(project, site)
    tests = call("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", folder=project, installed=site)
    assert "2 passed" in tests.stdout, tests.stdout + tests.stderr

    picture = tmp_path / "in" / "a.png"
    picture.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)).save(picture)
    predict = ("-m", "segcli", "predict", "in", "-m", "toy-organ", "-o", "out", "--gate", "0.0")
    refused = call(*predict, folder=tmp_path, installed=site)
    assert refused.returncode == 2 and "ships no weights" in refused.stderr

    assert call("-m", "toy_organ.untrained", folder=tmp_path, installed=site).returncode == 0
    done = call(*predict, folder=tmp_path, installed=site)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "a.png").is_file()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["model"]["name"] == "UNTRAINED-toy-organ" and report["model"]["distribution"] == "toy-organ 0.1.0"
    assert set(report["cases"][0]["presence"]) == {"UNTRAINED object"}


@pytest.mark.parametrize(
    "name", ["Liver", "a b", "3d", "torch", "json", "class", "unet3p", "segcli-models", "a--b", "../x"]
)
def test_a_name_that_python_or_another_model_has_is_refused(name: str, tmp_path: Path) -> None:
    assert run(["models", "new", name, "-o", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["models", "new", "toy-organ", "-o", str(tmp_path)]) == 2
    assert [item.name for item in tmp_path.iterdir()] == ["mine.txt"]
    assert "choose another -o" in capsys.readouterr().err
