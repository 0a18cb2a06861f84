"""A pool of reader processes: ask for descriptions and pixels, get results or the case's own error, never a hang.

Each process is served by one thread. A reader that dies or overruns is replaced; only the case it had fails.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from segcli.case import Case
from segcli.formats import messages
from segcli.formats.banded import BandedImage, OpenCase
from segcli.formats.interface import ReadRequest
from segcli.formats.table import FORMATS
from segcli.formats.worker_slot import Described, WorkerSlot
from segcli.image import Image, Json, LabelMap

LABELS_LIMIT = 600.0
"""Seconds to read one mask."""

READ_LIMIT = 600.0
"""Seconds to read a case that has no deadline, and in addition:"""

SLOWEST = 1e6
"""Bytes of its files, and pixels that its headers announce, for each further second."""

CHUNK = 64
"""Files in one request for descriptions."""

T = TypeVar("T")
_Work: TypeAlias = Callable[["WorkerSlot"], Any]


@dataclass(frozen=True)
class ReadCase:
    """A case as it was read: its parts, what must be told about it, SHA-256 over the input bytes, seconds it took.

    All parts are in memory, or (more pixels than the request's ``hold_pixels``) all lie open in a reader process of
    their own until :meth:`close`.
    """

    parts: tuple[Image | BandedImage, ...]
    warnings: tuple[str, ...]
    digest: str
    seconds: float

    @property
    def banded(self) -> bool:
        """Whether the parts are read band by band."""
        return any(isinstance(part, BandedImage) for part in self.parts)

    def close(self) -> None:
        """Give the parts up. Nothing happens to those in memory. May be called again."""
        for part in self.parts:
            if isinstance(part, BandedImage):
                part.close()


class Readers:
    """``count`` reader processes, started when first needed and gone when the block ends.

    ``folder``: where unlinked private files may lie on systems without memfd_create. ``formats``: the table of formats
    (tests pass their own). ``seconds_for``: how long a case without a deadline may take to be read.
    """

    def __init__(
        self,
        count: int = 1,
        folder: Path | None = None,
        formats: Mapping[str, str] = FORMATS,
        seconds_for: Callable[[Case], float] | None = None,
    ) -> None:
        self._seconds_for = read_limit if seconds_for is None else seconds_for
        self._tasks: queue.SimpleQueue[tuple[Future[Any], _Work] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lent: weakref.WeakSet[OpenCase] = weakref.WeakSet()
        self._count = max(1, count)
        self._slots = [WorkerSlot(formats, folder, self._closed) for _ in range(self._count)]
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), name=f"reader-{number}", daemon=True)
            for number, slot in enumerate(self._slots)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all readers, at once; whatever has not been answered fails or is cancelled. May be called again."""
        self._closed.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(timeout=30)
        for case in tuple(self._lent):
            case.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the readers that run."""
        found = [*(slot.pid for slot in self._slots), *(case.pid for case in self._lent)]
        return tuple(pid for pid in found if pid is not None)

    def describe(
        self, format_name: str, paths: Sequence[Path], keywords: Sequence[str] = ()
    ) -> Iterator[tuple[Path, Described]]:
        """Each path with its description or error, in the order of ``paths``.

        ``keywords``: see :meth:`segcli.formats.interface.Format.keywords`.

        Raises UsageError if readers cannot be started.
        """
        waiting: deque[tuple[Sequence[Path], Future[list[Described]]]] = deque()
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            request = {"do": "describe", "format": format_name, "keywords": list(keywords)}
            waiting.append((chunk, self._submit(_described(chunk, request))))
            if len(waiting) > 2 * self._count:
                yield from _first(waiting)
        while waiting:
            yield from _first(waiting)

    def submit_read(self, case: Case, request: ReadRequest, deadline: float | None = None) -> Future[ReadCase]:
        """Read a case ahead; the future gives its :class:`ReadCase` or raises the case's error.

        ``deadline``: seconds from when a reader begins with it, those that its bands take included; None: as many as
        reading may take at most, :data:`READ_LIMIT` and more for a large one. The pixels are mapped, not copied: their
        memory (and one descriptor) is free when the last of the arrays is.
        """
        message = {"do": "read", "case": case.to_json(), "request": messages.request_to_json(request)}

        def work(slot: WorkerSlot) -> ReadCase:
            answer, arrays = slot.fetch(message, self._seconds_for(case) if deadline is None else deadline)
            seconds = float(answer["seconds"])
            parts: tuple[Image | BandedImage, ...] = messages.images_from(answer["parts"], arrays)
            if answer["bands"]:
                open_case = OpenCase(slot.give_up(), None if deadline is None else max(0.0, deadline - seconds))
                self._lent.add(open_case)
                parts = tuple(BandedImage(open_case, part, told) for part, told in enumerate(answer["bands"]))
            return ReadCase(parts, tuple(answer["warnings"]), answer["digest"], seconds)

        return self._submit(work)

    def read_labels(self, format_name: str, path: Path) -> tuple[LabelMap, ...]:
        """Label numbers of a mask file. Raises the error of the file."""

        def work(slot: WorkerSlot) -> tuple[LabelMap, ...]:
            request = {"do": "read_labels", "format": format_name, "path": str(path)}
            answer, arrays = slot.fetch(request, LABELS_LIMIT)
            return messages.label_maps_from(answer["parts"], arrays)

        return _result(self._submit(work))

    def _submit(self, work: Callable[[WorkerSlot], T]) -> Future[T]:
        if self._closed.is_set():
            raise RuntimeError("the readers are closed")
        future: Future[T] = Future()
        self._tasks.put((future, work))
        return future

    def _serve(self, slot: WorkerSlot) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                break
            future, work = task
            if self._closed.is_set():
                future.cancel()
                future.set_running_or_notify_cancel()
            elif future.set_running_or_notify_cancel():
                try:
                    result = work(slot)
                except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result  # or the pixels would live until this thread's next task
            del task, future, work
        slot.empty()


def read_limit(case: Case) -> float:
    """Seconds after which a reader that has not read ``case`` is ended, where the user has set no limit."""
    size = math.prod(case.shape or (0,))
    for path in case.files:
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return READ_LIMIT + size / SLOWEST


def _described(paths: Sequence[Path], request: Json) -> Callable[[WorkerSlot], list[Described]]:
    return lambda slot: slot.describe(request, paths)


def _first(waiting: deque[tuple[Sequence[Path], Future[list[Described]]]]) -> Iterator[tuple[Path, Described]]:
    chunk, future = waiting.popleft()
    found = _result(future)
    yield from zip(chunk, found, strict=True)


def _result(future: Future[T]) -> T:
    """Wait in ticks: the main thread must stay open to signals, and a thread that died must not be waited for."""
    while True:
        try:
            return future.result(timeout=1.0)
        except TimeoutError:
            if future.done():
                raise
