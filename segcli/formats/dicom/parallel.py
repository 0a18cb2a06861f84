"""Work on all cores of this process, a little ahead of time, with errors in the order of the work.

Decoders of imagecodecs release Python's global lock, so threads suffice; reader processes stay one a case.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """``submit`` waits for the oldest task when two for each core are under way, and raises what that one raised."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or cores()
        self._pool = ThreadPoolExecutor(self._count, "decode")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, task: Callable[..., None], *arguments: Any) -> None:
        """Begin ``task(*arguments)``."""
        if len(self._waiting) >= 2 * self._count:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(task, *arguments))

    def finish(self) -> None:
        """Wait for all tasks; raises what the first that failed raised."""
        while self._waiting:
            self._waiting.popleft().result()
