"""Writing behind the network: one thread, a short queue, and no error of one case that ends another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass


from segcli.batch.ahead import TICK
from segcli.errors import SegcliError
from segcli.formats.atomic import is_disk_full
from segcli.image import LabelMap
from segcli.outcome import Job, Outcome

_QUEUED = 2


class DiskFullError(SegcliError):
    """The disk or quota of the output folder is full: the run ends, for every other case would fail too."""


@dataclass(frozen=True)
class Finished:
    """A case that only has to be written. ``outcome``: everything but what writing tells."""

    job: Job
    masks: tuple[LabelMap, ...]
    outcome: Outcome


class WriteBehind:
    """A writer thread. ``finish``: writes a case and brings its outcome where it belongs; its errors end the run."""

    def __init__(self, finish: Callable[[Finished], None]) -> None:
        self._finish = finish
        self._queue: queue.Queue[Finished | None] = queue.Queue(_QUEUED)
        self._error: BaseException | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="writer", daemon=True)
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Hand a case over, waiting while the queue is full. Raises what ended the writer."""
        self._offer(finished)

    def check(self) -> None:
        """Raise what ended the writer, if anything did."""
        if self._error is not None:
            raise self._error
        if not self._thread.is_alive():
            raise RuntimeError("the writer thread has died")

    def close(self) -> None:
        """Wait for all that was handed over. Raises what ended the writer."""
        self._offer(None)
        while self._thread.is_alive():
            self._thread.join(TICK)
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Finish the mask at hand if that is quick, drop the others."""
        self._abandoned.set()
        self._thread.join(5.0)

    def _offer(self, item: Finished | None) -> None:
        while True:
            self.check()
            try:
                self._queue.put(item, timeout=TICK)
            except queue.Full:
                continue
            return

    def _serve(self) -> None:
        try:
            while not self._abandoned.is_set():
                try:
                    item = self._queue.get(timeout=TICK)
                except queue.Empty:
                    continue
                if item is None or self._abandoned.is_set():
                    return
                self._finish(item)
                del item  # or its masks would live until the next case comes
        except OSError as error:
            full = DiskFullError("the disk of the output folder is full: make room, then run again")
            self._error = full if is_disk_full(error) else error
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._error = error
