"""A broken, a noisy and a hostile plugin beside the others change nothing for them."""

from __future__ import annotations

import json
import locale
import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distributions import (
    ABANDONS,
    BECOMES_ANOTHER,
    BROKEN,
    HOSTILE,
    INTERRUPTS,
    LEAVES_WHEN_ASKED,
    MUTE,
    NAMELESS_ERROR,
    NOISY,
    OBJECT,
    QUITS,
    QUITS_LATER,
    install,
)
from PIL import Image

from segcli.catalog import build_catalog, load_catalog
from segcli.cli.main import run
from segcli.errors import PluginError
from segcli.plugin_guard import guarded
from segcli.plugin_guard.settings import process_settings, same, torch_settings

BROKEN_ONES = {
    "broken": BROKEN, "interrupts": INTERRUPTS, "silent": NAMELESS_ERROR, "mute": MUTE, "abandons": ABANDONS,
    "quits": QUITS, "another": BECOMES_ANOTHER,
}  # fmt: skip
BAD = {"noisy": NOISY, "hostile": HOSTILE, **BROKEN_ONES}


def segcli(*arguments: str, folder: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "" if site is None else str(site)}
    command = [sys.executable, "-m", "segcli", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, **BAD)
    return folder


def state(*, seeds: bool) -> dict[str, Any]:
    return {item.name: item.read() for item in (*process_settings(seeds=seeds), *torch_settings(torch, seeds=seeds))}


def test_the_list_names_them_and_stays_readable(site: Path) -> None:
    done = segcli("models", "list", "--json", folder=site, site=site)
    assert done.returncode == 0 and done.stderr == ""
    told = json.loads(done.stdout)
    models = {entry["name"]: entry for entry in told["models"]}
    assert {"unet", "unet3p", "noisy", "hostile"} <= set(models) and models["unet3p"]["notes"] == []
    assert "printed" in models["noisy"]["notes"][0] and models["noisy"]["version"] == "2.1"
    notes = " ".join(models["hostile"]["notes"])
    for word in ("SIGINT", "SIGTERM", "threads", "default dtype", "grad mode", "deterministic", "seed", "environment"):
        assert word in notes, notes
    reasons = {entry["name"]: entry["reason"] for entry in told["broken"]}
    assert set(reasons) == set(BROKEN_ONES)
    assert (
        reasons["broken"] == "RuntimeError on loading: it raised SystemExit: no licence for [31myou"
    )  # no escape code
    assert "os._exit, which ends the process" in reasons["quits"] and "os.execv" in reasons["another"]


@pytest.mark.slow
def test_a_run_beside_them_writes_the_same_masks(site: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (70, 80), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    arguments = ("predict", "in", "-m", "unet3p", "--device", "cpu", "-o")
    alone = segcli(*arguments, "alone", folder=tmp_path)
    beside = segcli(*arguments, "beside", folder=tmp_path, site=site)
    assert alone.returncode == beside.returncode == 0, beside.stderr
    assert (tmp_path / "alone" / "a.png").read_bytes() == (tmp_path / "beside" / "a.png").read_bytes()
    assert "note: plugin 'hostile' of hostile-toy: it changed" in beside.stderr and "note:" not in alone.stderr
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("alone", "beside")]
    assert any("noisy-toy" in note for note in reports[1]["model"]["notes"]) and not reports[0]["model"]["notes"]
    assert reports[0]["model"]["distribution"] == reports[1]["model"]["distribution"] != ""
    assert reports[0]["settings"] == reports[1]["settings"] and reports[0]["machine"] == reports[1]["machine"]
    pinned = segcli(*arguments, "pinned", "--plugins-only", "unet3p", folder=tmp_path, site=site)
    assert pinned.returncode == 0 and "note:" not in pinned.stderr


def test_pinned_plugins_are_the_only_ones_imported(site: Path) -> None:
    # nothing can stop that, but not importing it
    (site / "hostile_toy.py").write_text("import ctypes; ctypes.CDLL(None)._exit(9)")
    assert segcli("models", "list", folder=site, site=site).returncode == 9
    done = segcli("models", "list", "--plugins-only", "unet3p,noisy", folder=site, site=site)
    assert done.returncode == 0 and "hostile not loaded" in " ".join(done.stdout.split())
    assert segcli("models", "list", "--plugins-only", "nobody", folder=site, site=site).returncode == 2
    left_out = segcli("predict", ".", "-m", "unet", "-o", "../out", "--plugins-only", "unet3p", folder=site, site=site)
    assert left_out.returncode == 2 and "--plugins-only leaves it out" in left_out.stderr


@pytest.mark.parametrize(
    ("sources", "arguments", "word"),
    [
        ({"later": QUITS_LATER}, ("predict", "in", "-m", "unet3p", "--device", "cpu"), "ended the process"),
        ({"leaves": LEAVES_WHEN_ASKED}, ("models", "check", "leaves"), "example() raised"),
    ],
)
def test_a_plugin_that_ends_the_process_later_is_no_success(
    sources: dict[str, str], arguments: tuple[str, ...], word: str, tmp_path: Path
) -> None:
    install(tmp_path, **sources)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(tmp_path / "in" / "a.png")
    done = segcli(*arguments, folder=tmp_path, site=tmp_path)
    assert done.returncode not in (0, -9) and word in done.stdout + done.stderr


def test_sys_exit_in_the_middle_of_a_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(*_: object) -> None:
        sys.exit(0)

    monkeypatch.setattr("segcli.cli.models.load_catalog", leave)
    assert run(["models", "list"]) == 70
    assert "left by sys.exit" in capsys.readouterr().err


def test_everything_a_plugin_changed_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, hostile=HOSTILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    before = state(seeds=True)
    catalog = build_catalog([EntryPoint("hostile", "hostile_toy:plugin", "segcli.models")])
    after = state(seeds=True)
    assert [name for name in before if not same(before[name], after[name])] == []
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    changed = {name for name in before if any(name in note for note in catalog.models["hostile"].notes)}
    # TF32 goes back with the matmul precision
    untouched = {"torch's anomaly mode", "alarm clocks", "cuda.matmul.allow_tf32"}
    assert {name for name in before if name not in changed} - untouched == {
        "cudnn.enabled", "cudnn.deterministic", "cudnn.allow_tf32", "mkldnn.enabled",
    }  # fmt: skip


def test_building_a_network_is_guarded_too_and_may_draw_weights() -> None:
    notes: list[str] = []
    seed = torch.get_rng_state()
    with guarded(notes, seeds=False):
        torch.rand(3)
    assert notes == [] and not torch.equal(seed, torch.get_rng_state())
    with guarded(notes, seeds=False):
        torch.set_grad_enabled(False)
    assert torch.is_grad_enabled() and "grad mode" in notes[0]


def test_a_stream_kept_by_a_plugin_still_works(capsys: pytest.CaptureFixture[str]) -> None:
    notes: list[str] = []
    with guarded(notes):
        kept = sys.stdout
        print("hidden")
    print("shown", file=kept)
    assert capsys.readouterr().out == "shown\n" and "hidden" in notes[0]


def test_a_real_ctrl_c_gets_out_and_a_false_one_does_not() -> None:
    with pytest.raises(KeyboardInterrupt), guarded([]):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"), guarded([]):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "word"),
    [('summary = "two\\nlines"', "summary"), ("default = lambda self: 'weights'", "default"), ("api = 9", "version 9")],
)
def test_a_plugin_with_senseless_members_is_listed_as_broken(
    change: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, odd=OBJECT.format(name="odd") + f"\nPlugin.{change}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("odd_toy", None)
    (broken,) = build_catalog([EntryPoint("odd", "odd_toy:plugin", "segcli.models")]).broken
    assert word in broken.reason


def test_only_names_that_are_there_can_be_pinned() -> None:
    catalog = load_catalog({"unet"})
    assert set(catalog.models) == {"unet"} and "unet3p" in catalog.left_out
    with pytest.raises(PluginError, match="leaves it out"):
        catalog.find("unet3p")
    with pytest.raises(PluginError, match="no plugin is called 'nobody'"):
        load_catalog({"nobody"})


def test_what_python_and_numpy_keep_for_everybody_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read here without the guard's own list, which might have forgotten one."""

    def kept() -> dict[str, Any]:
        mask = os.umask(0o022)
        os.umask(mask)
        return {
            "path": list(sys.path),
            "filters": list(warnings.filters),
            "umask": mask,
            "recursion": sys.getrecursionlimit(),
            "locale": locale.setlocale(locale.LC_ALL),
            "processes": multiprocessing.get_start_method(allow_none=True),
            "arithmetic": np.geterr(),
            "draws": np.random.default_rng(np.random.get_state()[1]).integers(0, 2**60),
        }

    install(tmp_path, hostile=HOSTILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("hostile_toy", None)
    before = kept()
    catalog = build_catalog([EntryPoint("hostile", "hostile_toy:plugin", "segcli.models")])
    assert kept() == before
    notes = " ".join(catalog.models["hostile"].notes)
    for word in (
        "sys.path",
        "warnings",
        "umask",
        "recursion",
        "locale",
        "start method",
        "numpy's handling",
        "numpy's r",
    ):
        assert word in notes
