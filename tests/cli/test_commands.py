"""Commands as a user types them: exit codes, one-line errors, what a log may hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.cli.main import run
from segcli.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "secret_patient"
    source.mkdir()
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40).astype(np.uint8)).save(source / "smith.png")
    (source / "notes.txt").write_text("text")
    (source / "broken.png").write_bytes((source / "smith.png").read_bytes()[:60])
    return source


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines and not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--shard", "4/3"], "i/n"),
        (["--memory", "lots"], "size"),
        (["--gate", "2"], "threshold"),
        (["--overlap", "0.9"], "0.75"),
        (["--spacing", "1"], "spacings"),
        (["--overlap", "nan"], "not a number"),
        (["--settle", "nan"], "not a number"),
        (["--case-timeout", "nan"], "not a number"),
        (["--batch", "0"], "auto"),
        (["--batch", "65537"], "65536"),
        (["-o", ""], "the path is empty"),
        (["-o", "x" * 300], "cannot be reached (File name too long)"),
        (["--select", "Modality"], "KEY=VALUE"),
        (["--precision", "int8"], "float32"),
        (["--device", "abacus"], "--device"),
        (["-m", "no-such-model"], "no-such-model"),
        (["-m", "./no-such-folder"], "no-such-folder"),
        (["-m", "torchscript"], "no weights"),
        (["-m", "unet", "-m", "unet3p"], "once for each model"),
    ],
)
def test_usage_errors_are_2_and_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], word: str
) -> None:
    model = [] if options[0] == "-m" else ["-m", "unet3p"]
    assert run(["predict", str(folder), *model, "-o", str(tmp_path / "out"), *options]) == 2
    assert word in one_line(capsys)
    assert not (tmp_path / "out/report.json").exists()


@pytest.mark.parametrize("name", ["out.png", "out.NII.GZ", "seg.dcm", "report.json", "volumes.csv"])
def test_an_output_called_like_a_file_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(["predict", str(folder / "smith.png"), "-m", "unet3p", "-o", str(tmp_path / name)]) == 2
    assert "-o names a folder" in one_line(capsys)
    assert not (tmp_path / name).exists()


def test_a_loop_of_links_is_2(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert run(["predict", str(folder), "-m", "unet3p", "-o", str(tmp_path / "loop" / "out")]) == 2
    assert re.search("cannot be (reached|made)", one_line(capsys))  # Python 3.13 finds it out later


def test_a_missing_input_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(tmp_path / "nowhere"), "-m", "unet3p", "-o", str(tmp_path / "out")]) == 2
    assert "nowhere" in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_nothing_found_is_3(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/readme.txt").write_text("text")
    assert run(["predict", str(tmp_path / "in"), "-m", "unet3p"]) == 3
    report = json.loads((tmp_path / "in_masks/report.json").read_text())
    assert [case["status"] for case in report["cases"]] == ["skipped"]


def test_all_failed_is_4_and_a_bug_is_70(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "smith.png").unlink()
    assert run(["predict", str(folder), "-m", "unet3p"]) == 4

    def broken(*_: object) -> None:
        raise ZeroDivisionError("SMITH^JOHN")

    monkeypatch.setattr("segcli.batch.execute.scan", broken)
    capsys.readouterr()
    assert run(["predict", str(folder), "-m", "unet3p"]) == 70
    line = capsys.readouterr().err
    assert "ZeroDivisionError" in line and "SMITH" not in line and "Traceback" not in line


@pytest.mark.parametrize("log", ["text", "json"])
def test_a_log_holds_ids_not_paths(folder: Path, capsys: pytest.CaptureFixture[str], log: str) -> None:
    assert run(["predict", str(folder), "-m", "unet3p", "--log-format", log]) == 1
    both = capsys.readouterr()
    for text in (both.out, both.err):
        assert not any(word in text for word in ("smith", "secret_patient", "notes", "broken"))
    run(["predict", str(folder), "-m", "unet3p", "--log-format", log, "--log-paths"])
    out = capsys.readouterr().out
    assert "smith.png" in out
    if log == "json":
        lines = [json.loads(line) for line in out.splitlines()]
        assert {line["status"] for line in lines if line["event"] == "case"} == {"unchanged", "failed", "skipped"}


def test_the_report_tells_all(folder: Path) -> None:
    run(["predict", str(folder), "-m", "unet3p", "--select", "PatientID=123"])
    report = json.loads((folder.with_name("secret_patient_masks") / "report.json").read_text())
    assert "123" not in json.dumps(report["settings"]) and report["settings"]["select"] == ["PatientID"]
    run(["predict", str(folder), "-m", "unet3p"])
    report = json.loads((folder.with_name("secret_patient_masks") / "report.json").read_text())
    assert {"schema", "exit_code", "counts", "versions", "model", "machine", "settings", "cases"} <= set(report)
    assert len(report["model"]["weights_sha256"]) == 64
    by_name = {case["name"]: case for case in report["cases"]}
    assert by_name["broken.png"]["error"] == "UnreadableError"
    case = by_name["smith.png"]
    assert case["status"] in ("done", "empty") and case["shape"] == [1, 40, 40] and case["tiles"] > 0
    assert set(case["seconds"]) >= {"read", "network"} and len(case["sha256"]) == 64
    assert set(case["presence"]) == set(case["volumes"]) == {"anterior hippocampus", "posterior hippocampus"}


def test_report_shows_a_run_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["predict", str(folder), "-m", "unet3p"])
    first = capsys.readouterr().out
    assert run(["report", str(folder.with_name("secret_patient_masks")), "--group"]) == code
    assert capsys.readouterr().out == first
    assert run(["report", str(folder)]) == 2


def test_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(folder), "--json"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text)
    assert "smith" not in text and len(found["cases"]) + len(found["left_out"]) == 3
    assert run(["inspect", str(folder), "--log-paths"]) == 0
    assert "smith.png" in capsys.readouterr().out


def test_models_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    names = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["models"]}
    assert names["unet3p"]["default_model"] and not names["torchscript"]["default_model"]


def test_click_does_not_change_exit_codes() -> None:
    assert run(["predict"]) == 2
    assert run(["no-such-command"]) == 2
    assert run([]) == 2
    assert run(["--help"]) == 0
    assert UsageError.exit_code == 2
