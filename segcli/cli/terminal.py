"""How a command prints a line. Everything it did not write itself goes through :func:`printable`."""

from __future__ import annotations

import click

from segcli.plain_text import printable

__all__ = ["printable", "say"]


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line, made printable; ``err``: on stderr. The ``click.echo`` of segcli's commands."""
    click.echo(printable(line), err=err)
