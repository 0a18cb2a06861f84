"""``--preset smoke``: minutes on any data set, with anybody's plugin, and an estimate from the first step on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sets import nnunet_set

from segcli.cli.main import run
from segcli.training import choosing, session

STUBBORN = """
from torch import nn

class Network(nn.Module):
    multiple, offset = 1, 0
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1)
    def forward(self, x):
        return self.layer(x)
    def training_outputs(self, x):
        return [self(x)], None

class Plugin:
    api, name, summary = 1, "stubborn", "knows no option at all"
    def example(self): ...
    def default(self): return None
    def build(self, card):
        if card.plugin_options:
            raise ValueError(f"unknown options {sorted(card.plugin_options)}")
        return Network()

plugin = Plugin()
"""


@pytest.fixture
def stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's network is installed that refuses every option."""
    info = tmp_path / "site/stubborn-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site/stubborn_toy.py").write_text(STUBBORN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[segcli.models]\nstubborn = stubborn_toy:plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def smoke(folder: Path, model: str, *options: str) -> int:
    command = ["train", str(folder / "set"), "-m", model, "-o", str(folder / "model"), "--preset", "smoke"]
    return run([*command, "--device", "cpu", "--precision", "float32", "--batch", "2", "--steps", "4", *options])


@pytest.mark.usefixtures("stubborn")
def test_a_plugin_that_refuses_the_presets_options_is_trained_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nnunet_set(tmp_path / "set", 3)
    assert smoke(tmp_path, "stubborn") == 0
    assert "--preset smoke asks for base" in capsys.readouterr().out
    assert json.loads((tmp_path / "model/config.json").read_text())["plugin_options"] == {}


@pytest.mark.usefixtures("stubborn")
def test_an_option_that_was_asked_for_is_never_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nnunet_set(tmp_path / "set", 3)
    assert smoke(tmp_path, "stubborn", "--option", "base=4") == 2
    assert "unknown options ['base']" in capsys.readouterr().err


def test_smoke_reads_a_sample_and_validates_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = {"train": (3, 10**9), "validation": (2, 10**9), "test": (4, 6 * 16 * 18)}  # of test the pixels of one case
    monkeypatch.setattr(choosing, "FEW", sample)
    nnunet_set(tmp_path / "set", 15)
    assert smoke(tmp_path, "unet", "--validation", "5", "--test", "4") == 0
    card = json.loads((tmp_path / "model/config.json").read_text())
    assert card["training"]["cases"] == {"train": 3, "validation": 2, "test": 1}
    assert [len(card["training"]["split"][part]) for part in ("train", "validation", "test")] == [3, 2, 1]
    assert card["metrics"]["validation"]["no_gate"]["cases"] == 2
    assert "a sample of 6 of its 15 cases" in capsys.readouterr().out
    steps = [line.split(",")[0] for line in (tmp_path / "model/curves.csv").read_text().splitlines()[1:]]
    assert steps == ["2", "4"]


def test_the_first_estimate_knows_how_long_a_step_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(session.time, "monotonic", lambda: now[0])
    clock = session.Clock(steps=10, every=5)
    now[0] = 20.0
    clock.stepped(1)
    assert clock.left() == 9 * 20.0
    for step in range(2, 6):
        now[0] += 2.0
        clock.stepped(step)
    now[0] += 7.0
    clock.validated()
    # the first step warms up what the others find warm; the validation at the end takes as long as the first
    assert clock.left() == 5 * 2.0 + 7.0
