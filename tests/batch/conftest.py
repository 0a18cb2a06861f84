"""A real, tiny model and tiny pictures; every run goes through the command line as a user's would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import picture

from segcli.batch import run as run_module
from segcli.cli.main import run
from segcli.formats.readers import Readers


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


@pytest.fixture
def one_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All runs of a test share one reader process; the network keeps to one thread. Seconds instead of minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Readers(1) as readers:

        class Shared:
            def __init__(self, *_: object) -> None: ...

            def __enter__(self) -> Readers:
                return readers

            def __exit__(self, *_: object) -> None: ...

        monkeypatch.setattr(run_module, "Readers", Shared)
        yield
    torch.set_num_threads(threads)
