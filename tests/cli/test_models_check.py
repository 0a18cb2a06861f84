"""``segcli models check`` from the command line: exit codes and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.testing import CHECKS


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["unet", "unetpp", "unet3p"])
def test_the_shipped_plugins_keep_the_contract(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "check", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and {*CHECKS, "shipped model"} == {check["check"] for check in told["checks"]}
    assert not [check for check in told["checks"] if check["status"] in ("failed", "warning")]


def test_a_model_folder_is_checked_with_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    folder = load_catalog().find("unet3p").default
    assert folder is not None
    assert run(["models", "check", str(folder)]) == 0
    assert "1,692,229 parameters" in capsys.readouterr().out


def test_an_unknown_name_or_folder_is_a_usage_error(tmp_path: Path) -> None:
    assert run(["models", "check", "nobody"]) == 2
    assert run(["models", "check", str(tmp_path)]) == 2
