"""One run at a time per output folder (per shard): a lock that a dead process does not keep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segcli.errors import UsageError
from segcli.regular_file import NotRegularError, open_own


def not_ours(path: Path, error: NotRegularError) -> UsageError:
    """What is told of a pipe, folder or link that has the name of a file of segcli's own."""
    return UsageError(f"{path}: {error.strerror}; segcli keeps one of that name: move it away, or choose another -o")


def refuse_other_division(folder: Path, own: Path) -> None:
    """Raise UsageError if a run that divides the cases otherwise (whole, or into another number) is alive there.

    Called with the own lock held, so that of two runs that start together at least one sees the other.
    """
    for path in sorted(folder.glob(".manifest*.jsonl.lock")):
        if path != own and (_division(path.name) != _division(own.name)) and is_held(path):
            raise UsageError(f"{folder}: a run with another --shard is writing here; wait for it, or choose another -o")


def _division(name: str) -> str:
    return name.partition("-of-")[2]


def is_held(path: Path) -> bool:
    """Whether a run that is alive holds the lock ``path``."""
    try:
        descriptor = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except NotRegularError as error:
        raise not_ours(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold ``path`` for the duration. Raises UsageError if another run holds it or the file system has no locks."""
    try:
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
    except NotRegularError as error:
        raise not_ours(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{path.parent}: another run is writing here; wait for it, or choose another -o"
            ) from error
        except OSError as error:
            raise UsageError(f"{path.parent}: this file system has no locks; choose an -o on another one") from error
        yield
    finally:
        os.close(descriptor)
