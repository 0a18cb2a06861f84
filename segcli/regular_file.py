"""The only way to open a path that a user, a header or another program chose.

A FIFO would block the run for ever, a device may never end, a link may lead out of the folder. Everything here opens
without waiting, looks at what was opened (not at the name again), and refuses what is no regular file.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class NotRegularError(OSError):
    """The path leads to a pipe, socket, device or folder; ``strerror`` says which, without the path."""


class TooLargeError(OSError):
    """The file holds more bytes than it may; ``strerror`` says how many are allowed, without the path."""


def open_regular(path: str | Path, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file for reading (bytes, buffered); the caller closes it.

    ``follow_links=False`` refuses a symbolic link at the last part of the path. Raises NotRegularError for a pipe,
    socket, device or folder, and the OSError of the system for anything else.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    if not follow_links:
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise NotRegularError(error.errno, "a socket, not a file") from error
        if error.errno == errno.ELOOP and not follow_links:
            raise NotRegularError(error.errno, "a link, not a file (symbolic links are not followed here)") from error
        raise
    try:
        _refuse_irregular(descriptor)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, limit: int | None = None, *, follow_links: bool = True) -> bytes:
    """All bytes of a regular file. Raises TooLargeError if there are more than ``limit``, and as open_regular."""
    with open_regular(path, follow_links=follow_links) as stream:
        if limit is None:
            return stream.read()
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(errno.EFBIG, f"more than {limit:,} bytes")
    return data


def open_own(path: str | Path, flags: int, mode: int = 0o600) -> int:
    """Open a file that this program keeps for itself, to write it (``flags`` as for ``os.open``); a descriptor.

    Never waits and never follows a link at the last part of the path. Raises as open_regular does, for a link too.
    """
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW, mode)
    except OSError as error:
        kinds = {errno.ENXIO: "a pipe or socket", errno.ELOOP: "a link", errno.EISDIR: "a folder"}
        if error.errno in kinds:
            raise NotRegularError(error.errno, f"{kinds[error.errno]}, not a file") from error
        raise
    try:
        _refuse_irregular(descriptor)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return
    kinds = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    kind = next((name for matches, name in kinds if matches(mode)), "device")
    raise NotRegularError(errno.EINVAL, f"a {kind}, not a file")
