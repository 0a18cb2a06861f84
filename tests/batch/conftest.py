"""A real, tiny model and tiny pictures; every run goes through the command line as a user's would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import picture

from segcli.batch.tools import Tools
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
def predict(model: Path, pictures: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., int]:
    """``predict("--strict")`` segments the pictures into ``out``; returns the exit code.

    ``tools``: what the run works with instead of its own, by the names of :class:`Tools`.
    """

    shared = {"readers": request.getfixturevalue("one_reader")} if "one_reader" in request.fixturenames else {}

    def call(*options: str, source: Path = pictures, output: Path | None = tmp_path / "out", **tools: Any) -> int:
        where = [] if output is None else ["-o", str(output)]
        arguments = ["predict", str(source), "-m", str(model), *where, "--device", "cpu", *options]
        return run(arguments, Tools(**{**shared, **tools}))

    return call


@pytest.fixture
def statuses(tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Status by case name, from report.json."""

    def read() -> dict[str, str]:
        return {case["name"]: case["status"] for case in report_of(tmp_path / "out")["cases"]}

    return read


def report_of(output: Path) -> Any:
    return json.loads((output / "report.json").read_text())


@pytest.fixture(scope="module")
def one_reader() -> Iterator[Callable[[int, Path], AbstractContextManager[Readers]]]:
    """``Tools(readers=one_reader)``: runs share one reader process and keep to one thread. Seconds, not minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Readers(1) as readers:
        yield lambda count, folder: nullcontext(readers)
    torch.set_num_threads(threads)
