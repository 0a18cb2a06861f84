"""What a run knows of a case on its way from the reader to the disk."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace

from segcli.batch.ahead import Stat, refuse_changed
from segcli.contract import ModelCard
from segcli.engine.scope import case_out_of_scope, parts_out_of_scope
from segcli.errors import CaseError, UnreadableError
from segcli.formats.interface import MaskRequest
from segcli.formats.mask_sink import MaskSink
from segcli.formats.readers import Delivery
from segcli.outcome import Job


@dataclass
class Reading:
    """A case a reader process was asked for. ``bytes``: what it will take in memory. ``stat``: of its files before."""

    job: Job
    future: Future[Delivery]
    bytes: int
    stat: Stat


@dataclass
class Segmenting:
    """A case that was read. ``stat``: of its files before they were read; ``key``: what its mask is made from.

    ``notes``: what must be told with its mask. ``remarks``: what stands in the report alone.
    """

    job: Job
    delivery: Delivery
    stat: Stat
    key: str
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds_writing: float = 0.0
    mask: MaskSink | None = None
    """The mask of an image read in bands, on its way; one of an image in memory is written when it is whole."""

    def out_of_scope(self, card: ModelCard, stated: tuple[float, ...] | None) -> str | None:
        """Why the model was not made for this image, judged by its headers and by what was read."""
        case, parts = self.job.case, self.delivery.parts
        return case_out_of_scope(case, card, stated) or parts_out_of_scope(parts, card, stated)

    def request(self, of_run: MaskRequest) -> MaskRequest:
        """What the writer of this mask must know."""
        return replace(of_run, notes=self.notes, earlier=self.job.target)

    def true_error(self, error: CaseError) -> CaseError:
        """``error``, or that the file was changed under the bands, which then looks like damage."""
        try:
            if self.delivery.banded:
                refuse_changed(self.job.case.files, self.stat)
        except UnreadableError as changed:
            return changed
        return error

    def give_up(self) -> None:
        """Leave nothing of the mask, and let go of the image. Does nothing to what is finished."""
        if self.mask is not None:
            self.mask.abort()
        self.delivery.close()
