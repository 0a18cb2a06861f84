"""A forward pass cannot be interrupted from outside; one that never ends must end the run, not hang it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from segcli.batch.observer import RunObserver

GRACE = 60.0
"""Seconds by which a pass through the network may overrun the deadline of a case."""

_TICK = 0.5


class Watchdog(RunObserver):
    """Calls ``hung`` from a thread of its own once the network has worked too long without an event.

    ``deadline``: seconds of a case, or None to watch nothing.
    """

    def __init__(self, deadline: float | None, hung: Callable[[], None], grace: float = GRACE) -> None:
        self._limit = None if deadline is None else deadline + grace
        self._hung = hung
        self._since: float | None = None
        self._over = threading.Event()

    def __enter__(self) -> Self:
        if self._limit is not None:
            threading.Thread(target=self._watch, args=(self._limit,), name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def on_network(self, *, busy: bool) -> None:
        """Watch from now on, or rest."""
        self._since = time.monotonic() if busy else None

    def _watch(self, limit: float) -> None:
        while not self._over.wait(_TICK):
            since = self._since
            if since is not None and time.monotonic() - since > limit:
                self._hung()
                return
