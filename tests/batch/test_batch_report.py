"""report.json, volumes.csv and report.html after success, failure, interruption and death."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from segcli.cli.main import run
from segcli.formats.readers import Readers
from segcli.reporting.content import load_schema

Predict = Callable[..., int]


def valid_report(output: Path, name: str = "report.json") -> Any:
    content = json.loads((output / name).read_text())
    jsonschema.Draft202012Validator(load_schema()).validate(content)
    return content


def test_success_and_failure_fit_the_schema(predict: Predict, pictures: Path, tmp_path: Path) -> None:
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    (pictures / "notes.txt").write_text("text")
    assert predict() == 1
    report = valid_report(tmp_path / "out")
    case = {case["name"]: case for case in report["cases"]}["a.png"]
    assert case["geometry"] == [
        {"slices": 1, "rows": 40, "columns": 36, "spacing": None, "slice_spacing": None, "axes": None, "first": None,
         "last": None}
    ]  # fmt: skip
    assert set(case["seconds"]) == {"read", "network", "write"}
    assert report["seconds"]["total"] >= report["seconds"]["scan"] > 0
    assert [label["segment"] for label in report["model"]["labels"]] == list(
        range(1, 1 + len(report["model"]["labels"]))
    )
    rows = list(csv.DictReader((tmp_path / "out/volumes.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 3 * len(report["model"]["labels"])
    assert "broken.png" in (tmp_path / "out/report.html").read_text()
    assert predict() == 1  # and with unchanged cases
    assert valid_report(tmp_path / "out")["counts"] == {"unchanged": 3, "failed": 1, "skipped": 1}


def test_presence_is_told_by_slice(pictures: Path, tmp_path: Path) -> None:
    assert run(["predict", str(pictures / "a.png"), "-m", "unet3p", "-o", str(tmp_path / "out")]) == 0
    (case,) = valid_report(tmp_path / "out")["cases"]
    for label, score in case["presence"].items():
        assert case["slice_presence"][label] == [[pytest.approx(score, abs=1e-4)]]


def test_a_bug_leaves_a_report_that_fits_the_schema(predict: Predict, tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    assert predict(readers=broken) == 70
    report = valid_report(tmp_path / "out")
    assert (report["exit_code"], report["message"], report["cases"]) == (70, "a bug ended the run", [])


def test_a_signal_while_the_scan_runs_ends_it_at_once(predict: Predict, tmp_path: Path) -> None:
    class Endless(Readers):
        def describe(self, *_: object) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    start = time.monotonic()
    with pytest.raises(SystemExit) as left:
        predict(readers=Endless)
    assert left.value.code == 143 and time.monotonic() - start < 30
    assert valid_report(tmp_path / "out")["exit_code"] == 143


def test_a_run_that_died_is_shown_from_its_manifest(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict()
    for name in ("report.json", "volumes.csv", "report.html"):
        (tmp_path / "out" / name).unlink()
    capsys.readouterr()
    assert run(["report", str(tmp_path / "out"), "--log-paths", "--write"]) == 70
    both = capsys.readouterr()
    assert all(name in both.out for name in ("a.png", "b.png", "sub/c.png"))
    assert "left no report" in both.err
    table = (tmp_path / "out/volumes.csv").read_text(encoding="utf-8-sig")
    assert {row["case"] for row in csv.DictReader(table.splitlines())} == {"a.png", "b.png", "sub/c.png"}


def test_an_older_report_is_not_taken_for_that_of_a_run_that_died(predict: Predict, tmp_path: Path) -> None:
    predict()
    old = (tmp_path / "out/report.json").read_bytes()
    predict()
    (tmp_path / "out/report.json").write_bytes(old)
    assert run(["report", str(tmp_path / "out")]) == 70


def test_a_run_that_refused_to_start_is_shown_as_such(model: Path, pictures: Path, tmp_path: Path) -> None:
    """Only the scan can tell that masks would land in the input."""
    inner = pictures / "in"
    inner.mkdir()
    (pictures / "a.png").rename(inner / "a.png")
    assert run(["predict", str(pictures), "-m", str(model), "-o", str(tmp_path)]) == 2
    assert valid_report(tmp_path)["exit_code"] == 2
    assert run(["report", str(tmp_path)]) == 2


def test_shards_are_joined(
    predict: Predict, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out")
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    (pictures / "notes.txt").write_text("text")
    assert predict("--shard", "1/2") in (0, 1, 4)
    assert run(["report", output, "--merge"]) == 2
    assert "have not run: 2" in capsys.readouterr().err
    assert predict("--shard", "2/2") in (0, 1, 4)
    assert run(["report", output]) == 2
    assert "--merge" in capsys.readouterr().err
    assert run(["report", output, "--merge"]) == 1
    report = valid_report(tmp_path / "out")
    assert {case["name"] for case in report["cases"]} == {"a.png", "b.png", "sub/c.png", "broken.png", "notes.txt"}
    assert len(report["cases"]) == 5  # a left-out file belongs to one shard too
    assert report["found"] == 4
    assert run(["report", output]) == 1
    predict("--shard", "1/3")
    assert run(["report", output, "--merge"]) == 2


def test_merging_does_not_write_over_the_report_of_a_run_without_shards(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict() == 0
    assert predict("--shard", "1/1") == 0
    before = (tmp_path / "out/report.json").read_bytes()
    assert run(["report", str(tmp_path / "out"), "--merge"]) == 2
    assert "use one output folder for each" in capsys.readouterr().err
    assert (tmp_path / "out/report.json").read_bytes() == before
    assert run(["report", str(tmp_path / "out")]) == 0


def test_shards_of_another_model_do_not_share_a_folder(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict("--shard", "1/2")
    before = sorted(path.name for path in (tmp_path / "out").rglob("*"))
    assert predict("--shard", "2/2", "--png-mask", "grey") == 2
    assert "was made otherwise (--png-mask palette → grey)" in capsys.readouterr().err
    assert sorted({path.name for path in (tmp_path / "out").rglob("*")} - {".manifest-2-of-2.jsonl.lock"}) == before
    assert predict("--shard", "2/2") == 0


def test_a_strangers_report_is_left_alone(predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/volumes.csv").write_text("my,own,numbers\n")
    assert predict() == 2
    assert "volumes.csv" in capsys.readouterr().err
    assert (tmp_path / "out/volumes.csv").read_text() == "my,own,numbers\n"


def test_a_run_with_nothing_to_do_says_why_even_if_quiet(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    words = ["predict", str(tmp_path / "in"), "-m", str(model), "-o", str(tmp_path / "out"), "--quiet"]
    assert run(words) == 3
    assert capsys.readouterr().err == "segcli: the input holds no file: is it the right folder?\n"
    (tmp_path / "in/notes.txt").write_text("text")
    assert run([*words, "--log-format", "json"]) == 3
    assert "every file was skipped; report.json in the output folder has the reasons" in capsys.readouterr().err
