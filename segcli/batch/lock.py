"""One living run a manifest. The kernel drops the lock with the process, however that dies."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from segcli.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows: best effort, without locks
    fcntl = None  # type: ignore[assignment]

_BUSY = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)


def lock(descriptor: int, path: Path) -> None:
    """Hold the open file ``path`` for this process alone. Raises UsageError: another run, or no locks to be had."""
    if fcntl is None:
        return
    try:
        # flock, not lockf: a lockf lock is lost when any descriptor of the file is closed, as reading it does
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            raise UsageError(
                f"{path.parent}: another run is writing there; wait for it, or choose another -o"
            ) from None
        raise UsageError(
            f"{path.parent}: its file system has no locks ({error.strerror}), so two runs could meet there; "
            "choose a folder on another one"
        ) from error


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of this file."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(descriptor)
    return False
