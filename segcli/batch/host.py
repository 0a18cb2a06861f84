"""What the engine asks of a batch run while a case is in the network."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from segcli.batch.watchdog import Watchdog
from segcli.formats.messages import Delivery
from segcli.image import BandSink


class InFlight(Hashable, Protocol):
    """A case that was read."""

    @property
    def delivery(self) -> Delivery:
        """What its reader handed over."""
        ...


class EngineHost:
    """The :class:`segcli.engine.segmenter.Host` of a run; every batch is a sign of life for the watchdog."""

    def __init__(self, progress: Callable[[int, int], None], watchdog: Watchdog) -> None:
        self._progress = progress
        self._watchdog = watchdog

    def sink(self, key: InFlight, part: int) -> BandSink | None:
        """Masks of images in memory are written when they are whole."""
        return None

    def spent(self, key: InFlight) -> float:
        """Seconds of reading."""
        return key.delivery.seconds

    def progress(self, key: InFlight, done: int, total: int) -> None:
        """Pass it on."""
        self._watchdog.working()
        self._progress(done, total)
