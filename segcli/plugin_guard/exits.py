"""A plugin that ends the process, or puts another program in its place, must not look like a command that is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WAYS_OUT = ("_exit", "abort", "execv", "execve")
"""Functions of ``os`` that end this program; all others of the exec family call these."""


@contextmanager
def exits_refused() -> Iterator[None]:
    """Inside, the ways out raise RuntimeError; a process that was forked meanwhile may leave as it likes."""
    before = [(module, name, getattr(module, name)) for module in _modules() for name in WAYS_OUT]
    for module, name, leave in before:
        setattr(module, name, _refusing(name, leave))
    try:
        yield
    finally:
        for module, name, leave in before:
            setattr(module, name, leave)


def exits_told(status: int) -> None:
    """From now on whoever leaves by ``os._exit(0)``, at any time and in any thread, leaves with ``status`` and a line.

    For a command line, whose exit code 0 says that it is done.
    """
    process, leave = os.getpid(), os._exit

    def exit_told(code: int) -> None:
        if code == 0 and os.getpid() == process:
            sys.stderr.write("segcli: a plugin or library ended the process before the command was done\n")
            sys.stderr.flush()
            code = status
        leave(code)

    for module in _modules():
        module._exit = exit_told


def _modules() -> list[Any]:
    """``os`` takes its functions from a module of the system, where they can be found, too."""
    return [os, *(sys.modules[name] for name in ("posix", "nt") if name in sys.modules)]


def _refusing(name: str, leave: Callable[..., Any]) -> Callable[..., Any]:
    process = os.getpid()

    def refuse(*arguments: Any) -> Any:
        if os.getpid() != process:
            return leave(*arguments)
        raise RuntimeError(f"it called os.{name}, which ends the process")

    return refuse
