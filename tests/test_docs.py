"""The pages of docs/ say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import click

from segcli.cli.predict import predict

DOCS = Path(__file__).parent.parent / "docs"
ROW = re.compile(r"^\| `--(?P<name>[a-z-]+)` \|(?P<default>[^|]*)\| (?P<meaning>[^|]+) \|$", re.MULTILINE)


def documented(page: str) -> dict[str, str]:
    """Option name → its default as the page's table states it, without backquotes."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {row["name"]: row["default"].strip().strip("`") for row in ROW.finditer(text)}


def test_the_table_of_predict_lists_every_option_in_order() -> None:
    options = [parameter for parameter in predict.params if isinstance(parameter, click.Option)]
    own = [max(option.opts, key=len).removeprefix("--") for option in options]
    assert list(documented("predict.md")) == own


def test_the_table_of_predict_states_the_defaults_that_help_shows() -> None:
    table = documented("predict.md")
    for option in predict.params:
        if isinstance(option, click.Option) and option.show_default:
            name = max(option.opts, key=len).removeprefix("--")
            assert table[name] == str(option.default), name
