"""SIGINT and SIGTERM: the first lets what is in flight finish, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

from segcli.outcome import Ended

_NAMES: dict[int, Ended] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(BaseException):
    """Raised in the main thread by a signal that does not wait; no ``except Exception`` holds it up.

    ``ended``: how the run ends by it.
    """

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended)
        self.ended = ended


class Signals:
    """While the block lasts, signals are taken; ``asked`` tells how the run is to end, None if it may go on.

    Before :meth:`drain` has been called nothing is in flight, and the first signal stops at once. Outside the main
    thread, where Python takes no signals, nothing is installed.
    """

    def __init__(self) -> None:
        self.asked: Ended | None = None
        self._draining = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _NAMES:
                self._former[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def drain(self) -> None:
        """From here on the first signal only asks."""
        self._draining = True

    def _take(self, number: int, _frame: FrameType | None) -> None:
        again = self.asked is not None
        self.asked = self.asked or _NAMES[number]
        if again or not self._draining:
            raise Stopped(self.asked)
