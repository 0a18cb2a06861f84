"""A third party's network that takes the process down, or hangs, on one case of ten: the other nine get done."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import deadly_plugin
import numpy as np
import pytest
from PIL import Image

from segcli.model_folder import save_model_folder


@pytest.mark.slow
@pytest.mark.parametrize(("deed", "codes"), [("exit", [9, 9, 9, 1]), ("sleep", [70, 70, 70, 1])])
def test_nine_of_ten_are_done_though_one_ends_three_runs(tmp_path: Path, deed: str, codes: list[int]) -> None:
    deadly_plugin.install(tmp_path / "site")
    card = dataclasses.replace(deadly_plugin.plugin.example(), plugin_options={"deed": deed})
    save_model_folder(tmp_path / "model", card, deadly_plugin.plugin.build(card).state_dict())
    source = tmp_path / "in"
    source.mkdir()
    for number in range(10):
        grey = 255 if number == 4 else 20 * number
        Image.fromarray(np.full((16, 16), grey, np.uint8)).save(source / f"{number}.png")
    command = [sys.executable, str(tmp_path / "site/deadly_plugin.py"), "predict", str(source)]
    command += ["-m", str(tmp_path / "model"), "-o", str(tmp_path / "out"), "--device", "cpu", "--case-timeout", "6"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    call = partial(subprocess.run, command, env=environment, capture_output=True, check=False, timeout=120)
    assert [call().returncode for _ in codes] == codes
    report = json.loads((tmp_path / "out/report.json").read_text())
    status = {case["name"]: case["status"] for case in report["cases"]}
    assert status.pop("4.png") == "failed"
    assert len(status) == 9 and set(status.values()) <= {"done", "empty", "unchanged"}
    assert len(list((tmp_path / "out").glob("?.png"))) == 9
