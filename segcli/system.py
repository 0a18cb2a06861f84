"""The systems segcli runs on: Linux and macOS."""

from __future__ import annotations

from segcli.errors import UsageError


def refuse_windows() -> None:
    """Raise UsageError where the POSIX modules are missing that locks and memory limits are made of."""
    try:
        import fcntl  # noqa: F401, PLC0415 - whether it is there is the question
        import resource  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError(
            "segcli runs on Linux and macOS only; on Windows, install it in WSL (Windows Subsystem for Linux)"
        ) from error
