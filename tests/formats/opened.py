"""Which files any process opens, seen by the kernel: an audit hook does not see what C++ decoders open."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


@contextmanager
def watched(*paths: Path) -> Iterator[list[str]]:
    """The list names, when the block has ended, each of ``paths`` that was opened within it, once for each time."""
    if sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    names = {libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_OPEN): path.name for path in paths}
    assert descriptor >= 0 and -1 not in names
    opened: list[str] = []
    try:
        yield opened
        try:
            events = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            return
        while events:
            number, _, _, length = _EVENT.unpack_from(events)
            opened.append(names[number])
            events = events[_EVENT.size + length :]
    finally:
        os.close(descriptor)
