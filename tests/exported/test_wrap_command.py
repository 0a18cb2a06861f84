"""``segcli models wrap`` and ``check`` as commands: a process apart, a time-out, a card to fill in, --trust."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from exporting import Net, card, script, write_onnx
from torch import Tensor, nn

from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.engine.model import load_model


class Loops(nn.Module):
    """Comes back for the small tile that a first look takes, and not for one of 16 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        i = 0
        while x.shape[2] >= 16:
            i += 1
        return torch.cat([x, -x], dim=1)


@pytest.mark.slow
def test_a_network_that_loops_is_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script(Loops().eval(), tmp_path / "net.pt")
    begun = time.monotonic()
    words = ["models", "wrap", str(file), "--card", str(card(tmp_path)), "-o", str(tmp_path / "model")]
    assert run([*words, "--timeout", "3"]) == 2
    assert "no answer within 3 s" in capsys.readouterr().err and time.monotonic() - begun < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "net.pt"]  # nothing is left behind


class Prints(Net):
    def forward(self, x: Tensor) -> Tensor:
        print('{"forged": 1}')
        return self.up(self.down(x).relu())


@pytest.mark.slow
def test_what_a_network_prints_is_not_the_commands_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = script(Prints().eval(), tmp_path / "net.pt")
    assert run(["models", "wrap", str(file), "--card", str(card(tmp_path)), "-o", str(tmp_path / "model")]) == 0
    assert run(["models", "check", str(tmp_path / "model"), "--json"]) == 0
    told = capfd.readouterr()
    assert "forged" not in told.out + told.err and "ONNX lasts longer" in told.err
    assert json.loads(told.out[told.out.index("{\n") :])["passed"]


def test_a_plugin_that_ends_the_process_fails_its_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dead_toy.py").write_text("import ctypes; ctypes.CDLL(None)._exit(0)")  # below Python
    (tmp_path / "dead_toy-1.dist-info").mkdir()
    (tmp_path / "dead_toy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: dead-toy\nVersion: 1\n")
    (tmp_path / "dead_toy-1.dist-info" / "entry_points.txt").write_text("[segcli.models]\ndead = dead_toy:plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run(["models", "check", "dead"]) == 1
    assert "ended without an answer (exit code 0)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_card_to_fill_in_knows_what_the_shapes_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_onnx(tmp_path / "net.onnx", [1, 1, 16, 16])
    template = tmp_path / "card.json"
    assert run(["models", "wrap", str(file), "--template", str(template)]) == 0
    found = json.loads(template.read_text())
    assert (found["spatial_dims"], found["tile"], found["overlap"], found["margin"]) == (2, [16, 16], [4, 4], [0, 0])
    assert len(found["channels"]) == 1 and [label["value"] for label in found["labels"]] == [1]
    words = ["models", "wrap", str(file), "--card", str(template), "-o", str(tmp_path / "model")]
    assert run(words) == 2
    told = capsys.readouterr().err
    assert "still to be filled in: name, version, license, channels" in told and "tile" not in told
    assert run(["models", "wrap", str(file), "--template", str(template)]) == 2  # never written over
    said = {
        "name": "toy", "version": "1", "license": "CC0-1.0", "channels": ["grey"], "context_slices": 0,
        "activation": "softmax", "intensity": {"kind": "zscore"}, "modality": None, "spacing": None,
        "orientation": None, "labels": [{**found["labels"][0], "name": "object"}],
    }  # fmt: skip
    template.write_text(json.dumps({**found, **said}))
    assert run(words) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_a_torch_export_program_needs_trust_and_becomes_onnx(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, x = Net().eval(), torch.randn(1, 1, 16, 16)
    torch.export.save(torch.export.export(network, (x,)), tmp_path / "net.pt2")
    words: list[Any] = ["models", "wrap", str(tmp_path / "net.pt2"), "--card", str(card(tmp_path))]
    words += ["-o", str(tmp_path / "model")]
    assert run(words) == 2
    told = capsys.readouterr().err
    assert "--trust" in told and len(told.splitlines()) == 1 and not (tmp_path / "model").exists()
    assert run([*words, "--trust"]) == 0
    loaded = load_model(str(tmp_path / "model"), load_catalog())
    assert loaded.card.plugin == "onnx" and loaded.card.plugin_options["fixed"]
    with torch.inference_mode():
        assert torch.allclose(loaded.network(x), network(x), atol=1e-5)


def test_trust_is_for_programs_of_torch_export_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_onnx(tmp_path / "net.onnx", ["n", 1, "r", "c"])
    assert run(["models", "wrap", str(file), "--trust", "-o", str(tmp_path / "model")]) == 2
    assert "is none" in capsys.readouterr().err


def test_a_batch_or_a_side_that_the_file_does_not_take_is_said_with_what_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--card", str(card(tmp_path)), "-o", str(tmp_path / "model")]  # tiles of 16 × 16
    two, other = write_onnx(tmp_path / "two.onnx", [2, 1, 16, 16]), write_onnx(tmp_path / "a.onnx", ["n", 1, 24, 24])
    assert run(["models", "wrap", str(two), *words]) == 2
    assert "its input is 2 × 1 × 16 × 16" in (told := capsys.readouterr().err) and "a batch of 1" in told
    assert run(["models", "wrap", str(other), *words]) == 2
    assert "its input is any × 1 × 24 × 24" in (told := capsys.readouterr().err) and "the card's tile" in told


def test_the_command_to_go_on_with_works_as_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.export.save(torch.export.export(Net().eval(), (torch.randn(1, 1, 16, 16),)), "net.pt2")
    assert run(["models", "wrap", "net.pt2", "--trust", "--template", "template.json"]) == 0
    assert "next: segcli models wrap net.pt2 --card template.json -o FOLDER --trust" in capsys.readouterr().out
    card(tmp_path)
    assert run(["models", "wrap", "net.pt2", "--trust", "--card", "card.json", "-o", "model"]) == 0
    following = capsys.readouterr().out.split("next: segcli ")[1].split()
    assert run(following) == 0
    assert "light listing\n" in capsys.readouterr().out  # a check without a word of its own ends there
