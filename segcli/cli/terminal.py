"""How a command prints a line. Everything it did not write itself goes through :func:`printable`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from segcli.plain_text import printable

__all__ = ["as_model", "printable", "say", "show", "silent_if_unread"]


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line, made printable; ``err``: on stderr."""
    show(printable(line), err=err)


def show(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text as it is, JSON for example. The ``click.echo`` of segcli's commands."""
    with silent_if_unread(sys.stderr if err else sys.stdout):
        click.echo(text, err=err, nl=nl)


@contextlib.contextmanager
def silent_if_unread(stream: TextIO | None = None) -> Iterator[None]:
    """Nobody reads on, or the log's disk is full: no reason to end the run, but from here on it is silent.

    ``stream``: stdout if it is not given.
    """
    stream = sys.stdout if stream is None else stream
    try:
        yield
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def as_model(folder: Path) -> str:
    """The folder as ``--model`` and ``models check`` take it: a bare word would be the name of a plugin."""
    return str(folder) if len(folder.parts) > 1 else f"./{folder}"
