"""How a command prints a line. Everything it did not write itself goes through :func:`printable`."""

from __future__ import annotations

from pathlib import Path

import click

from segcli.plain_text import printable

__all__ = ["as_model", "printable", "say"]


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line, made printable; ``err``: on stderr. The ``click.echo`` of segcli's commands."""
    click.echo(printable(line), err=err)


def as_model(folder: Path) -> str:
    """The folder as ``--model`` and ``models check`` take it: a bare word would be the name of a plugin."""
    return str(folder) if len(folder.parts) > 1 else f"./{folder}"
