"""``segcli models check`` from the command line: exit codes and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segcli.cli.main import run
from segcli.testing import CHECKS


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "unetpp", "unet3p"])
def test_the_shipped_plugins_keep_the_contract(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "check", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and {*CHECKS, "shipped model"} == {check["check"] for check in told["checks"]}
    assert not [check for check in told["checks"] if check["status"] in ("failed", "warning")]


def test_a_model_folder_is_checked_with_its_weights(threshold_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = load_file(threshold_model / "model.safetensors").items()
    parameters = sum(each.numel() for name, each in weights if "running" not in name and "num_batches" not in name)
    assert run(["models", "check", str(threshold_model)]) == 0
    assert f"{parameters:,} parameters" in capsys.readouterr().out


def test_an_unknown_name_or_folder_is_a_usage_error(tmp_path: Path) -> None:
    assert run(["models", "check", "nobody"]) == 2
    assert run(["models", "check", str(tmp_path)]) == 2
