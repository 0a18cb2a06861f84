"""A real, tiny model and tiny pictures; every run goes through the command line as a user's would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcli.cli.main import run


@pytest.fixture
def model(threshold_model: Path) -> Path:
    """The label stands where the normalised intensity exceeds 0.5, so that two pictures never have the same mask."""
    return threshold_model


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures: a.png, b.png, sub/c.png."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "sub/c.png")):
        picture(folder / name, number)
    return folder


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 36), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def predict(model: Path, pictures: Path, tmp_path: Path) -> Callable[..., int]:
    """``predict("--strict")`` segments the pictures into ``out``; returns the exit code."""

    def call(*options: str, source: Path = pictures, output: Path | None = tmp_path / "out") -> int:
        where = [] if output is None else ["-o", str(output)]
        return run(["predict", str(source), "-m", str(model), *where, "--device", "cpu", *options])

    return call


@pytest.fixture
def statuses(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Status by case name, from report.json."""

    def read() -> dict[str, str]:
        return {case["name"]: case["status"] for case in report_of(tmp_path / "out")["cases"]}

    return read


def report_of(output: Path) -> Any:
    return json.loads((output / "report.json").read_text())
