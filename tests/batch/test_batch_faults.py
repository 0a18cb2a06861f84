"""Runs that are killed, hang, are stopped or run out of disk; what the next runs make of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segcli.batch.history import read_manifest
from segcli.batch.lock import hold_lock
from segcli.batch.secret import case_key
from segcli.cli.main import run
from segcli.errors import UsageError

Predict = Callable[..., int]
Statuses = Callable[[], dict[str, str]]
DEADLY = Path(__file__).with_name("deadly.py")


def report_of(output: Path) -> Any:
    return json.loads((output / "report.json").read_text())


def reasons(output: Path) -> dict[str, str]:
    return {case["name"]: case["reason"] or "" for case in report_of(output)["cases"]}


@pytest.fixture
def deadly(model: Path, pictures: Path, tmp_path: Path) -> Callable[..., int]:
    """``deadly("exit", "b.png")``: one run with a deed; returns its exit code."""

    def call(deed: str, name: str, *options: str) -> int:
        where = [str(pictures), "-m", str(model), "-o", str(tmp_path / "out"), "--device", "cpu", "--batch", "1"]
        command = [sys.executable, str(DEADLY), deed, name, "predict", *where, *options]
        return subprocess.run(command, timeout=60, check=False, capture_output=True).returncode

    return call


@pytest.mark.slow
def test_a_case_that_kills_every_run_is_left_alone_once_it_died_alone(
    deadly: Callable[..., int], predict: Predict, statuses: Statuses, tmp_path: Path
) -> None:
    """Two deaths make a suspect, which the next run does last and alone: there it is found guilty or innocent."""
    assert deadly("kill", "a.png") == -signal.SIGKILL  # the first of three
    assert deadly("exit", "a.png") == 9
    done = read_manifest(tmp_path / "out/manifest.jsonl")
    assert {outcome.name for outcome in done.outcomes.values()} == {"b.png", "sub/c.png"}
    shutil.copytree(tmp_path / "out", tmp_path / "innocent")
    assert predict("--batch", "1", output=tmp_path / "innocent") == 0
    assert report_of(tmp_path / "innocent")["counts"] == {"done": 1, "unchanged": 2}

    assert deadly("exit", "a.png") == 9  # alone
    for _ in range(2):
        assert deadly("exit", "a.png") == 1
    assert statuses() == {"a.png": "failed", "b.png": "unchanged", "sub/c.png": "unchanged"}
    assert "ended 3 runs, the last one alone" in reasons(tmp_path / "out")["a.png"]
    assert predict("--batch", "1", "--retry-failed") == 0
    assert predict("--batch", "1") == 0
    assert not [path for path in (tmp_path / "out").rglob("*") if "tmp" in path.name]


@pytest.mark.slow
def test_a_network_that_never_comes_back_ends_the_run(
    deadly: Callable[..., int], statuses: Statuses, tmp_path: Path
) -> None:
    start = time.monotonic()
    assert deadly("sleep", "b.png", "--case-timeout", "12") == 70
    assert time.monotonic() - start < 55
    assert statuses()["b.png"] == "failed"
    assert json.loads((tmp_path / "out/report.json").read_text())["exit_code"] == 70


@pytest.mark.parametrize(("deed", "code"), [("signal", 130), ("term", 143)])
def test_the_first_signal_finishes_what_is_in_flight(
    deadly: Callable[..., int],
    predict: Predict,
    statuses: Statuses,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    deed: str,
    code: int,
) -> None:
    assert deadly(deed, "b.png") == code
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["exit_code"] == code
    assert set(statuses()) == {"a.png", "b.png"}
    assert len(report["pending"]) == 1
    assert run(["report", str(tmp_path / "out")]) == code
    assert "2 done, 1 left for the next run" in capsys.readouterr().out
    assert predict("--batch", "1") == 0
    assert set(statuses()) == {"a.png", "b.png", "sub/c.png"}


@pytest.mark.parametrize(("deed", "code"), [("signals", 130), ("terms", 143)])
def test_the_second_signal_stops_and_is_no_death(
    deadly: Callable[..., int], tmp_path: Path, deed: str, code: int
) -> None:
    assert deadly(deed, "a.png") == code
    history = read_manifest(tmp_path / "out/manifest.jsonl")
    assert history.announced == {"a.png"} and not +history.crash_count
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["exit_code"], report["cases"]) == (code, [])


def test_of_two_runs_at_once_one_is_refused(
    model: Path, pictures: Path, predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [str(pictures), "-m", str(model), "-o", str(tmp_path / "out"), "--device", "cpu", "--batch", "1"]
    with subprocess.Popen([sys.executable, str(DEADLY), "sleep", "b.png", "predict", *where]) as first:
        until = time.monotonic() + 60
        while not (tmp_path / "out/a.png").exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert predict() == 2
        assert "another run is writing here" in capsys.readouterr().err
        assert run(["report", str(tmp_path / "out")]) == 70
        assert "the run is not over yet" in capsys.readouterr().err
        first.kill()
    assert predict("--batch", "1") == 0


def test_a_full_disk_ends_the_run_with_a_report(
    deadly: Callable[..., int], predict: Predict, statuses: Statuses, tmp_path: Path
) -> None:
    assert deadly("full", "a.png") == 70
    assert statuses()["a.png"] == "failed"
    assert "disk" in json.loads((tmp_path / "out/report.json").read_text())["message"]
    assert predict("--batch", "1") == 0


def test_a_locked_folder_is_refused_until_its_run_dies(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict()
    with hold_lock(tmp_path / "out/.manifest.jsonl.lock"):
        assert predict() == 2
        assert "another run" in capsys.readouterr().err
        assert predict("--shard", "1/2") == 2  # the whole and a part would meet
        assert "another --shard" in capsys.readouterr().err
    with hold_lock(tmp_path / "out/.manifest-1-of-2.jsonl.lock"):
        assert predict() == 2
        assert predict("--shard", "1/3") == 2
        assert predict("--shard", "2/2") == 0  # shards of one division run side by side
        capsys.readouterr()
        assert predict("--shard", "1/2") == 2
        assert "another run" in capsys.readouterr().err
    assert predict() == 0


def test_a_dead_process_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    text = (
        f"from segcli.batch.lock import hold_lock\nimport pathlib, time\nwith hold_lock(pathlib.Path({str(path)!r})):\n"
    )
    text += " print('held', flush=True)\n time.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UsageError), hold_lock(path):
            pass
        holder.kill()
    with hold_lock(path):
        pass


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_manifest_cut_anywhere_loses_only_work(
    predict: Predict, statuses: Statuses, tmp_path: Path, keep: float
) -> None:
    predict()
    path = tmp_path / "out/manifest.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert predict() == 0
    assert predict() == 0
    assert set(statuses().values()) == {"unchanged"}


def test_a_strangers_manifest_is_left_alone(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for content in (b"not ours\n", b"not ours", b'{"some": "json"}\n'):
        (tmp_path / "out/manifest.jsonl").write_bytes(content)
        assert predict() == 2
        assert (tmp_path / "out/manifest.jsonl").read_bytes() == content


def test_the_secret_of_ids_is_drawn_once_and_private(tmp_path: Path) -> None:
    first = case_key(tmp_path)
    assert len(first) == 32 and case_key(tmp_path) == first
    assert (tmp_path / ".segcli-key").stat().st_mode & 0o077 == 0


def test_an_unwritable_folder_is_a_usage_error(model: Path, pictures: Path) -> None:
    assert run(["predict", str(pictures), "-m", str(model), "-o", "/proc/nowhere"]) == 2
    assert run(["predict", str(pictures), "-m", str(model), "-o", os.devnull]) == 2
