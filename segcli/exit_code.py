"""What the exit codes of segcli mean; docs/operations.md tells what to do about each."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The codes of all commands. None of them ever ends with another."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    NOTHING_TO_DO = 3
    ALL_FAILED = 4
    ENDED_EARLY = 70
    SIGINT = 130
    SIGTERM = 143

    @classmethod
    def of_signal(cls, number: int) -> ExitCode:
        """Of a process that ends because of the signal ``number``, SIGINT or SIGTERM."""
        return cls(128 + number)


EARLY = (ExitCode.USAGE, ExitCode.ENDED_EARLY, ExitCode.SIGINT, ExitCode.SIGTERM)
"""Codes of a run that ended before its last case."""


def code_of(*, failed: int, well: int) -> ExitCode:
    """Of a command that has dealt with all its cases, of which so many failed and so many went well."""
    if failed:
        return ExitCode.SOME_FAILED if well else ExitCode.ALL_FAILED
    return ExitCode.DONE if well else ExitCode.NOTHING_TO_DO
