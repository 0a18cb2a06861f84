"""What is public, and that asking for it imports no more than it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import segcli


def test_importing_segcli_is_light_and_what_is_public_is_listed() -> None:
    program = (
        "import sys, segcli\nheavy = {'torch', 'numpy', 'nibabel', 'SimpleITK', 'pydicom'} & set(sys.modules)\n"
        "segcli.PredictSettings, segcli.Report, segcli.errors.UsageError\nprint(heavy, {'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set() set()\n"
    assert set(segcli.__all__) <= set(dir(segcli))
    for name in segcli.__all__:
        assert getattr(segcli, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        segcli.nothing  # noqa: B018


def test_the_public_names_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    table = page.split("## What is public", 1)[1].split("## ", 1)[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    assert sorted(re.findall(r"`segcli\.(\w+)`", "".join(first_cells))) == sorted(segcli.__all__)


@pytest.mark.parametrize("named", ["unet3p", 3])
def test_plugins_only_is_a_list_of_names(named: object) -> None:
    with pytest.raises(segcli.errors.UsageError, match="is no list of names"):
        segcli.load_model("unet3p", plugins_only=named)  # type: ignore[arg-type]


def test_plugins_only_imports_no_other() -> None:
    assert segcli.load_model("unet3p", plugins_only=["unet3p"]).card.plugin == "unet3p"
    with pytest.raises(segcli.errors.PluginError, match="nowhere"):
        segcli.load_model("unet3p", plugins_only=["nowhere"])
