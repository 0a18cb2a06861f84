"""docs/performance.md names benchmarks and options that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from segcli.cli.predict import predict

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"python (benchmarks/\w+\.py[^`\n#|]*)", PAGE)))


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def test_the_page_names_its_benchmarks() -> None:
    assert {line.split()[0].removeprefix("benchmarks/") for line in COMMANDS} == {
        "vs_monai.py",
        "vs_nnunet.py",
        "overhead.py",
        "scaling.py",
        "startup.py",
        "compiled.py",
    }


@cache
def help_of(script: str) -> str:
    command = [sys.executable, script, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_benchmark_knows_the_options_it_is_started_with(command: str) -> None:
    script, *arguments = command.split()
    assert options(" ".join(arguments)) <= options(help_of(script))


def test_what_an_operator_can_tune_are_options_of_predict() -> None:
    text = PAGE.split("\n## What you can tune\n")[1].split("\n## ")[0]
    known = {name for each in predict.params if isinstance(each, click.Option) for name in each.opts}
    assert options(text)
    assert options(text) <= known


def test_the_readme_leads_here() -> None:
    assert "docs/performance.md" in (ROOT / "README.md").read_text(encoding="utf-8")
