"""What a run knows of a case on its way from the reader to the disk."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from segcli.batch.key import stat_of
from segcli.formats.mask_sink import MaskSink
from segcli.formats.readers import Delivery
from segcli.outcome import Job


@dataclass
class Reading:
    """A case a reader process was asked for. ``bytes``: what it will take in memory. ``stat``: of its files before."""

    job: Job
    future: Future[Delivery]
    bytes: int
    stat: tuple[tuple[int, int, int], ...]


@dataclass
class Segmenting:
    """A case that was read. ``stat``: of its files before they were read; ``key``: what its mask is made from."""

    job: Job
    delivery: Delivery
    stat: tuple[tuple[int, int, int], ...]
    key: str
    seconds_writing: float = 0.0
    mask: MaskSink | None = None
    """The mask of an image read in bands, on its way; one of an image in memory is written when it is whole."""

    def give_up(self) -> None:
        """Leave nothing of the mask, and let go of the image. Does nothing to what is finished."""
        if self.mask is not None:
            self.mask.abort()
        self.delivery.close()

    def has_changed(self) -> bool:
        """Whether the input is no longer what it was before it was read, or is gone."""
        try:
            return stat_of(self.job.case.files) != self.stat
        except OSError:
            return True
