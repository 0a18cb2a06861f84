"""What is read ahead: how a case is asked for, what it takes of the memory, whether its files stayed as they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from segcli.batch.key import stat_of
from segcli.case import Case
from segcli.errors import UnreadableError
from segcli.formats.interface import HOLD_PIXELS, MaskRequest, ReadRequest

Stat = tuple[tuple[int, int, int], ...]

ASSUMED_BYTES = 64 * 2**20
"""Size of a case whose headers do not say, and of one that is read in bands."""


def read_request(request: MaskRequest) -> ReadRequest:
    """What every reader of a run is told."""
    return ReadRequest.of(request.card, request.settings, min(HOLD_PIXELS, request.settings.max_pixels))


def bytes_ahead(case: Case, hold_pixels: int | None) -> int:
    """Memory that a case takes from when it is read to when it is segmented.

    Of an image read in bands only some rows are ever held; counted in full, one of them would leave no room to read
    anything ahead of it.
    """
    if case.shape is None:
        return ASSUMED_BYTES
    pixels = math.prod(case.shape)
    if hold_pixels is not None and pixels > hold_pixels and case.banded:
        return min(ASSUMED_BYTES, 4 * pixels)
    return 4 * pixels


def refuse_changed(files: Sequence[Path], before: Stat) -> None:
    """Raise UnreadableError if a file is not as it was before it was read: what was read belongs to no one file."""
    try:
        same = stat_of(files) == before
    except OSError:
        same = False
    if not same:
        raise UnreadableError("the input changed while it was read: run again when it is complete")
