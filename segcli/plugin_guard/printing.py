"""What a plugin prints on loading does not land in somebody's JSON."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

MOST_PRINTED = 4096


class _Diverted(io.TextIOBase):
    """Stands for a stream while a plugin runs; whoever keeps it afterwards (a log handler) writes to the stream."""

    def __init__(self, stream: Any, caught: list[str]) -> None:
        self._stream = stream
        self._caught: list[str] | None = caught

    def write(self, text: str) -> int:
        if self._caught is None:
            return int(self._stream.write(text))
        self._caught.append(str(text))
        return len(text)

    def release(self) -> None:
        """From now on a name for the stream itself."""
        self._caught = None

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def quiet(notes: list[str]) -> Iterator[None]:
    """Lines printed, from Python or below it, become one note instead of standing in somebody's JSON."""
    if threading.current_thread() is not threading.main_thread():
        yield  # the streams belong to the program that called us
        return
    streams = sys.stdout, sys.stderr
    for stream in streams:
        stream.flush()
    caught: list[str] = []
    diverted = [_Diverted(stream, caught) for stream in streams]
    with _descriptors_diverted(caught):
        sys.stdout, sys.stderr = diverted
        try:
            yield
        finally:
            for stream, name in zip(diverted, streams, strict=True):
                stream.release()
                with suppress(Exception):
                    name.flush()
            sys.stdout, sys.stderr = streams
    text = "".join(caught)
    if text:
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        notes.append(f"it printed {len(text)} characters, not shown: {first[:80]!r}")


@contextmanager
def _descriptors_diverted(caught: list[str]) -> Iterator[None]:
    """What libraries in C write to descriptors 1 and 2."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())
            kept = {number: os.dup(number) for number in (1, 2)}
        except OSError:  # no place for it, or a process started without the two: C libraries then print
            yield
            return
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            caught.append(file.read(MOST_PRINTED).decode("utf-8", "replace"))
