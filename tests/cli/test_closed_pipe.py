"""A reader of the output that goes away does not end the run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def test_all_cases_are_done_though_nobody_reads(tmp_path: Path, threshold_model: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (20, 20), np.uint8)).save(
            source / f"{number}.png"
        )
    command = [sys.executable, "-m", "segcli", "predict", "in", "-m", str(threshold_model), "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
        assert process.wait(120) == 0, complaint
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [case["status"] for case in report["cases"]] == ["done"] * 3


@pytest.mark.parametrize(
    "words",
    [("models", "list"), ("models", "list", "--json"), ("inspect", "."), ("inspect", ".", "--json"),
     ("evaluate", ".", ".", "--no-surface"), ("evaluate", ".", ".", "--no-surface", "--json")],
    ids=" ".join,
)  # fmt: skip
def test_every_command_ends_as_if_somebody_read_on(tmp_path: Path, words: tuple[str, ...]) -> None:
    """``segcli models list | head`` is no bug, and no plugin is to blame."""
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "a.png")
    with subprocess.Popen(
        [sys.executable, "-m", "segcli", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read().decode()
        assert (process.wait(120), complaint) == (0, "")
