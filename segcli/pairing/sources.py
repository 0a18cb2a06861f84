"""A DICOM SEG says on which images its frames were drawn: the surest tie between a mask and its image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.formats.dicom.records import FrameSource
from segcli.formats.mask_files import MaskFile
from segcli.formats.readers import Readers
from segcli.image import LabelMap

DICOM = "dicom"
_SOURCES = "sources"


def has_sources(mask: LabelMap) -> bool:
    """Whether it was read from a DICOM SEG."""
    return _SOURCES in mask.extra


def sources_of(mask: LabelMap) -> list[FrameSource]:
    """The source of each slice of a mask that has them."""
    return [(str(uid), int(number)) for uid, number in mask.extra[_SOURCES]]


def source_uids(mask: MaskFile, readers: Readers) -> list[str]:
    """SOP instance UIDs of the images that a DICOM SEG was drawn on."""
    (labels,) = readers.read_labels(DICOM, mask.path)
    return [uid for uid, _ in sources_of(labels)]


def laid_out(mask: LabelMap, places: Mapping[FrameSource, int], slices: int) -> NDArray[Any]:
    """``[slice, row, column]``: each slice of a SEG at the place of its source, empty where it has none."""
    stack = np.zeros((slices, *mask.pixels.shape[1:]), mask.pixels.dtype)
    for source, plane in zip(sources_of(mask), mask.pixels, strict=True):
        stack[places[source]] = plane
    return stack
