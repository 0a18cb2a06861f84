"""``--plugins-only``: a plugin that is not named is never imported, whatever the command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from distributions import OBJECT, install

from segcli.catalog import load_catalog
from segcli.cli.main import COMMANDS as MAIN
from segcli.cli.main import run
from segcli.cli.models import models
from segcli.testing import check_plugin

LEAVES_A_TRACE = """
from pathlib import Path
Path(__file__).with_name("was imported").touch()
""" + OBJECT.format(name="nosy")

COMMANDS = {
    ("predict",): ("{there}", "-m", "unet3p", "-o", "{out}"),
    ("train",): ("{there}", "-m", "unet3p", "-o", "{out}"),
    ("calibrate",): ("unet3p", "{there}", "-o", "{out}"),
    ("evaluate",): ("{there}", "{there}", "--no-surface", "-m", "unet3p"),
    ("doctor",): (),
    ("models", "list"): (),
    ("models", "show"): ("{there}/no-model",),
    ("models", "check"): ("{there}/no-model",),
    ("models", "wrap"): ("{there}/net.onnx", "-o", "{out}"),
}
"""Each gets as far as its plugins and ends on an empty folder, or because it has nothing more to do."""
OTHERS = {("inspect",), ("report",), ("models", "new")}
"""Import no plugin, so have nothing to pin."""


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that exists once the plugin ``nosy`` has been imported."""
    site = tmp_path / "site"
    site.mkdir()
    install(site, nosy=LEAVES_A_TRACE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "nosy_toy", raising=False)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "net.onnx").write_bytes(b"no network")
    return site / "was imported"


def arguments(command: tuple[str, ...], folder: Path) -> list[str]:
    words = [word.format(there=folder / "there", out=folder / "out") for word in COMMANDS[command]]
    return [*command, *words]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_plugin_that_is_not_named_is_not_imported(
    command: tuple[str, ...], trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*arguments(command, tmp_path), "--plugins-only", "unet3p,onnx"])
    assert not trace.exists() and "No such option" not in capsys.readouterr().err
    run(arguments(command, tmp_path))
    assert trace.exists()  # so the command does come to its plugins


def test_a_command_without_the_option_imports_no_plugin(trace: Path, tmp_path: Path) -> None:
    assert run(["models", "new", "nosy", "-o", str(tmp_path / "new")]) == 2  # the name is taken, as it can tell
    assert run(["models", "new", "another", "-o", str(tmp_path / "new")]) == 0
    run(["inspect", str(tmp_path / "there")])
    run(["report", str(tmp_path / "there")])
    assert not trace.exists()


def test_every_command_is_one_or_the_other() -> None:
    single = {(name,) for name in MAIN if name != "models"}
    assert single | {("models", name) for name in models.commands} == {*COMMANDS, *OTHERS}


def test_the_kit_wakes_no_neighbour_of_the_plugin_it_checks(trace: Path) -> None:
    plugin = load_catalog({"torchscript"}).find("torchscript").plugin
    check_plugin(plugin)
    assert not trace.exists()
