"""``segcli predict`` itself, with a model whose mask tells what the network was shown (tests/toys/probe.py)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from predicting import Predict

from segcli.cli.main import run

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toys installed and dicom_making at hand; one thread, and the signals as they were."""
    monkeypatch.syspath_prepend(TESTS / "formats" / "dicom")
    monkeypatch.syspath_prepend(TESTS / "toys")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """``predict("--overlap", "0.5", spatial_dims=3, …)``: a model of this card on ``in``, masks in ``out``.

    Returns the report's cases by name.
    """

    def call(*options: str, output: str = "out", code: int = 0, **card: Any) -> dict[str, Any]:
        from probe import save  # noqa: PLC0415 - on the path only now

        model = save(tmp_path / f"model of {output}", **card)
        command = ["predict", str(tmp_path / "in"), "-m", str(model), "-o", str(tmp_path / output), "--device", "cpu"]
        assert run([*command, *options]) == code
        report = json.loads((tmp_path / output / "report.json").read_text())
        return {case["name"]: case for case in report["cases"]}

    (tmp_path / "in").mkdir()
    return call
