"""docs/operations.md and the examples beside it say what the program does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from segcli import errors
from segcli.batch.plan import MAX_CRASHES
from segcli.batch.watchdog import GRACE
from segcli.cli.predict import predict
from segcli.cli.report import report
from segcli.exit_code import ExitCode
from segcli.outcome import Status
from segcli.reporting.content import load_schema

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "operations"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")
SCHEMA = load_schema()
SYSTEMD = shutil.which("systemd-analyze")


def first_cells(text: str) -> list[str]:
    """First cells of all tables, without backquotes and headings."""
    cells = [line.split("|")[1].strip().strip("`") for line in text.splitlines() if line.startswith("| ")]
    return [cell for cell in cells if cell not in ("code", "field", "file")]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_exit_codes_are_those_of_the_schema_and_of_the_errors() -> None:
    told = [int(cell) for cell in first_cells(section("Exit codes"))]
    assert told == SCHEMA["properties"]["exit_code"]["enum"] == list(ExitCode)
    assert all(isinstance(kind.exit_code, ExitCode) for kind in errors.ERRORS.values())


def test_every_field_of_the_report_is_explained_in_order() -> None:
    whole, case = section("report.json").split("Of each case:")
    assert first_cells(whole) == list(SCHEMA["properties"])
    assert first_cells(case) == list(SCHEMA["$defs"]["case"]["properties"])


def test_every_status_and_format_is_named() -> None:
    case = SCHEMA["$defs"]["case"]["properties"]
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `status`"))
    assert tuple(re.findall(r"`(\w+)`", row)[1:]) == get_args(Status) == tuple(case["status"]["enum"])
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `format`"))
    assert row.split("|")[2].strip().split(", ") == case["format"]["anyOf"][0]["enum"]


def test_the_limits_are_those_of_the_code() -> None:
    assert f"within {GRACE:g} s more ends the run" in PAGE
    assert MAX_CRASHES == 2 and "When two runs died over it and the third" in PAGE


def test_the_page_names_every_example_and_no_other() -> None:
    assert set(re.findall(r"\]\(operations/(\S+)\)", PAGE)) == {path.name for path in EXAMPLES.iterdir()}


@pytest.mark.parametrize("name", ["segcli.cron", "segcli.service", "segcli.sbatch"])
def test_the_command_line_of_an_example_is_understood(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    (line,) = re.findall(r"^[^#\n]*segcli (predict .*)$", text, re.MULTILINE)
    line = line.replace("$SLURM_ARRAY_TASK_ID/$SHARDS", "1/4")
    _, *words = shlex.split(line)
    assert predict.make_context("predict", words).params["models"]


def test_joining_the_shards_is_understood() -> None:
    (line,) = re.findall(r'--wrap "segcli report (.*)"', PAGE)
    words = [str(DOCS) if word.startswith("/srv") else word for word in shlex.split(line)]
    assert report.make_context("report", words).params["join"]


def test_the_queue_gets_as_many_tasks_as_there_are_shards() -> None:
    text = (EXAMPLES / "segcli.sbatch").read_text(encoding="utf-8")
    assert re.findall(r"--array=1-(\d+)$", text, re.MULTILINE) == re.findall(r"^SHARDS=(\d+)$", text, re.MULTILINE)
    subprocess.run(["/bin/bash", "-n", str(EXAMPLES / "segcli.sbatch")], check=True)


@pytest.mark.skipif(SYSTEMD is None, reason="no systemd here")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for name in ("segcli.service", "segcli.timer"):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/usr/local/bin/segcli", sys.executable), encoding="utf-8")
    paths = [str(tmp_path / name) for name in ("segcli.service", "segcli.timer")]
    done = subprocess.run([str(SYSTEMD), "verify", *paths], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
