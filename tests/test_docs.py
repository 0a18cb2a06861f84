"""The pages of docs/ say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from segcli.cli.predict import predict
from segcli.cli.train import train

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [("predict.md", predict), ("training.md", train)]
ROW = re.compile(r"^\| `--(?P<name>[a-z-]+)` \|(?P<default>[^|]*)\| (?P<meaning>[^|]+) \|$", re.MULTILINE)


def documented(page: str) -> dict[str, str]:
    """Option name → its default as the page's table states it, without backquotes."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {row["name"]: row["default"].strip().strip("`") for row in ROW.finditer(text)}


@pytest.mark.parametrize(("page", "command"), PAGES)
def test_a_table_lists_every_option_in_order(page: str, command: click.Command) -> None:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    own = [max(option.opts, key=len).removeprefix("--") for option in options]
    assert list(documented(page)) == own


@pytest.mark.parametrize(("page", "command"), PAGES)
def test_a_table_states_the_defaults_that_help_shows(page: str, command: click.Command) -> None:
    table = documented(page)
    for option in command.params:
        if isinstance(option, click.Option) and option.show_default:
            name = max(option.opts, key=len).removeprefix("--")
            assert table[name] == str(option.default), name
