"""What the engine asks of a batch run while a case is in the network."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from segcli.batch.watchdog import Watchdog
from segcli.formats.mask_sink import MaskSink
from segcli.formats.readers import Delivery
from segcli.image import BandSink


class InFlight(Hashable, Protocol):
    """A case that was read. ``mask``: its mask on its way, if that is written in bands."""

    mask: MaskSink | None

    @property
    def delivery(self) -> Delivery:
        """What its reader handed over."""
        ...


class EngineHost:
    """The :class:`segcli.engine.segmenter.Host` of a run; every batch is a sign of life for the watchdog."""

    def __init__(
        self, progress: Callable[[int, int], None], watchdog: Watchdog, open_mask: Callable[[Any], MaskSink]
    ) -> None:
        self._progress = progress
        self._watchdog = watchdog
        self._open_mask = open_mask

    def sink(self, key: InFlight, part: int) -> BandSink | None:
        """The mask file of an image read in bands; masks of images in memory are written when they are whole."""
        if not key.delivery.banded:
            return None
        mask = self._open_mask(key) if key.mask is None else key.mask
        return mask.parts[part]

    def spent(self, key: InFlight) -> float:
        """Seconds of reading."""
        return key.delivery.seconds

    def progress(self, key: InFlight, done: int, total: int) -> None:
        """Pass it on."""
        self._watchdog.working()
        self._progress(done, total)
