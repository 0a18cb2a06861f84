"""Signal handlers, put back; and whether a Ctrl-C really came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def signals_watched(notes: list[str], interrupts: list[int]) -> Iterator[None]:
    """Handlers can be read and set in the main thread only. ``interrupts`` gets every Ctrl-C that really came."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def heard(number: int, frame: Any) -> None:
        interrupts.append(number)
        handler = before[signal.SIGINT]
        if callable(handler):
            handler(number, frame)

    # SIG_IGN (nohup, background jobs) and handlers of C stay as they are
    watching = callable(before[signal.SIGINT])
    if watching:
        signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        changed = []
        for number, handler in before.items():
            mine = heard if watching and number == signal.SIGINT else handler
            if signal.getsignal(number) is not mine and signal.getsignal(number) != mine:
                changed.append(signal.Signals(number).name if number in set(signal.Signals) else str(number))
            if handler is not None and signal.getsignal(number) != handler:
                with suppress(OSError, ValueError):
                    signal.signal(number, handler)
        if changed:
            notes.append(f"it replaced the handler of {', '.join(changed)}; put back")
