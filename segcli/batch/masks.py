"""The mask of a case on its way to the disk: taken band by band, then finished behind the run or given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from segcli.batch.ahead import Stat, refuse_changed
from segcli.batch.context import RunContext
from segcli.engine.events import Band, CollectedMasks
from segcli.errors import CaseError, SegcliError, UnreadableError, WriteError
from segcli.formats.atomic import Target, Written, write_mask
from segcli.formats.interface import MaskRequest
from segcli.formats.mask_sink import open_sink
from segcli.formats.readers import ReadCase
from segcli.outcome import Job

WriteMask = Callable[..., Written]


class Mask(Protocol):
    """Ended by :meth:`finish` or :meth:`give_up`; then the image is let go, too."""

    def write(self, band: Band[Any]) -> None:
        """Some rows more. Raises a CaseError."""
        ...

    def finish(self) -> Written:
        """Write what is not written yet, verify it and give it its name. Raises a CaseError."""
        ...

    def give_up(self) -> None:
        """Leave nothing of it. Does nothing to what is finished."""
        ...

    def root_cause(self, error: CaseError) -> CaseError:
        """What says more than ``error``, or ``error``."""
        ...


class HeldMask:
    """The mask of an image in memory, written when it is whole."""

    def __init__(self, job: Job, delivery: ReadCase, target: Target, request: MaskRequest, write: WriteMask) -> None:
        self._job, self._target, self._request, self._write = job, target, request, write
        self._collected = CollectedMasks(delivery.parts)

    def write(self, band: Band[Any]) -> None:
        """Into memory."""
        self._collected.write(band)

    def finish(self) -> Written:
        """Write the file."""
        return self._write(self._target, self._job.case, self._collected.label_maps(), self._request)

    def give_up(self) -> None:
        """There is nothing yet."""

    def root_cause(self, error: CaseError) -> CaseError:
        """The image was read whole before."""
        return error


class BandedMask:
    """The mask of an image that is read in bands, written as it comes."""

    def __init__(self, job: Job, delivery: ReadCase, stat: Stat, target: Target, request: MaskRequest) -> None:
        self._files, self._stat, self._delivery = job.case.files, stat, delivery
        self._sink = open_sink(target, job.case, delivery.parts, request)

    def write(self, band: Band[Any]) -> None:
        """Into the file."""
        self._sink.write(band.volume, band.slice_index, band.row_start, band.labels)

    def finish(self) -> Written:
        """Give the file its name, if the image is still the one that was read first."""
        refuse_changed(self._files, self._stat)  # its last band has been read just now
        written = self._sink.finish()
        self._delivery.close()
        return written

    def give_up(self) -> None:
        """Remove the file and let go of the image."""
        self._sink.abort()
        self._delivery.close()

    def root_cause(self, error: CaseError) -> CaseError:
        """That the image was changed under the bands, which then looks like damage."""
        try:
            refuse_changed(self._files, self._stat)
        except UnreadableError as changed:
            return changed
        return error


def open_mask(
    job: Job, delivery: ReadCase, stat: Stat, context: RunContext, request: MaskRequest, write: WriteMask = write_mask
) -> Mask:
    """Begin the mask of a case that was read. Raises a CaseError if no file can be made for it."""
    target = Target(job.target, context.output, context.token, may_replace=str(job.case.output) in context.ours)
    request = replace(request, earlier=job.target)
    if delivery.banded:
        return BandedMask(job, delivery, stat, target, request)
    return HeldMask(job, delivery, target, request, write)


def finished(mask: Mask) -> Written:
    """Finish it. A library that stumbles over one case must not take the others with it; its words may quote header
    values, so only the kind of error is told.
    """
    try:
        return mask.finish()
    except SegcliError:
        raise
    except Exception as error:
        raise WriteError(f"the mask could not be written ({type(error).__name__}): please report this") from error
