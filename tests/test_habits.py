"""The pages and settings that contributors and forges read agree with the project."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from segcli.cli.main import cli

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = PYPROJECT["project"]["version"]
SUPPORTED = [
    line.removeprefix("Programming Language :: Python :: ")
    for line in PYPROJECT["project"]["classifiers"]
    if line.startswith("Programming Language :: Python :: 3.")
]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
TASKS = {"test", "tests", "lowest", "lint", "docs"}


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def tasks_called(script: str) -> list[str]:
    """The words after each ``./tasks``, up to the first that is no task."""
    called = []
    for words in re.findall(r"(?:\./|/\.\./)tasks\"? ([^\n#`]*)", script):
        for word in shlex.split(words):
            called.append(word)
            if word == "test":  # the rest is pytest's
                break
    return called


def test_the_tasks_are_those_that_are_listed() -> None:
    shown = subprocess.run([ROOT / "tasks"], capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert set(re.findall(r"^\./tasks (\w+)", shown.stdout, re.MULTILINE)) == TASKS
    unknown = subprocess.run([ROOT / "tasks", "lnit"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2 and "no task lnit" in unknown.stderr


@pytest.mark.parametrize("path", [".ci/run", ".github/workflows/ci.yml", "CONTRIBUTING.md"])
def test_only_tasks_are_called_that_there_are(path: str) -> None:
    called = tasks_called(text(path))
    assert called and set(called) <= TASKS


@pytest.mark.parametrize("path", [".ci/run", "tasks"])
def test_scripts_can_be_started(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)
    bash = shutil.which("bash")
    assert bash and subprocess.run([bash, "-n", ROOT / path], check=False).returncode == 0


def test_ci_and_forge_run_the_same_tasks() -> None:
    assert set(tasks_called(text(".ci/run"))) <= set(tasks_called(text(".github/workflows/ci.yml")))


def test_the_forge_tests_every_python_that_is_promised() -> None:
    (matrix,) = re.findall(r"python: (\[.*\])", text(".github/workflows/ci.yml"))
    assert re.findall(r'"([\d.]+)"', matrix) == SUPPORTED
    assert PYPROJECT["project"]["requires-python"] == f">={SUPPORTED[0]}"


def test_the_tasks_run_tests_that_are_there() -> None:
    paths = re.findall(r"tests/[\w/.]+", text("tasks"))
    assert paths and [path for path in paths if not (ROOT / path).exists()] == []


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\](.*)$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == VERSION
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in headings[1:])
    kinds = set(re.findall(r"^### (.+)$", text("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_is_of_this_version() -> None:
    fields = dict(re.findall(r"^([\w-]+): (.+)$", text("CITATION.cff"), re.MULTILINE))
    assert (fields["version"], fields["license"]) == (VERSION, PYPROJECT["project"]["license"])
    assert f"## [{VERSION}] - {fields['date-released']}\n" in text("CHANGELOG.md")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_leads_to_is_there(page: str) -> None:
    named = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text(page)) if "://" not in link]
    if page == "CONTRIBUTING.md":
        named += re.findall(r"`((?:\.ci|segcli|tests|plugins|benchmarks|docs)/[\w./-]+)`", text(page))
        named += re.findall(r"\./tasks test (tests/\S+)", text(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_that_a_page_names_exist(page: str) -> None:
    names = set(cli.list_commands(click.Context(cli)))
    assert set(re.findall(r"`segcli (\w+)", text(page))) <= names
    known: set[str] = {"--version"}
    for name in names:
        known |= options_of(cli.get_command(click.Context(cli), name))
    told = re.sub(r"`(?:pip|python|pytest|\./tasks) [^`]*`|```.*?```", "", text(page), flags=re.DOTALL)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", told)) <= known


def options_of(command: click.Command | None) -> set[str]:
    assert command is not None
    own = {name for each in command.params if isinstance(each, click.Option) for name in each.opts}
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(options_of, inner))


def test_names_of_code_in_the_contributors_page_are_there() -> None:
    page = text("CONTRIBUTING.md")
    for name, path in re.findall(r"`([A-Za-z_]+)` in\s+`(segcli/[\w/.]+)`", page):
        assert re.search(rf"\b{name}\b", text(path)), name
