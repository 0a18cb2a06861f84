"""Several files that are the channels of one case: read each as one channel, and stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import UnsupportedError
from segcli.formats.interface import InputFiles, ReadRequest, ReadResult
from segcli.image import Image

COUNT, EACH = "channel_files", "channel_details"
"""In a case's details: how many files are its channels, and the details of each for its format's reader."""


def read_channel_files(source: Any, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """The parts of a case whose files are its channels, in the order of the files.

    ``source``: the format of the files. Raises UnsupportedError where they differ in parts, size or place.
    """
    if request.channel is not None:
        raise UnsupportedError("--channel names a channel within a file, but this case has one file for each channel")
    results = []
    for index, path in enumerate(case.files[: case.details[COUNT]]):  # data files beside headers stand behind
        single = replace(case, files=(path,), details=case.details[EACH][index])
        wanted = None if request.channels is None else request.channels[index : index + 1]
        results.append(source.read(single, replace(request, channels=wanted, hold_pixels=None), files))
    if len({len(result.parts) for result in results}) != 1:
        raise UnsupportedError("the channel files hold different numbers of pages or time points")
    parts = tuple(_stacked(parts) for parts in zip(*(result.parts for result in results), strict=True))
    warnings = dict.fromkeys(warning for result in results for warning in result.warnings)
    return ReadResult(parts, tuple(warnings))


def _stacked(parts: Sequence[Image]) -> Image:
    first = parts[0]
    for index, part in enumerate(parts):
        if part.shape[1] != 1:
            raise UnsupportedError(f"channel file {index} holds {part.shape[1]} channels: one is expected in each")
        if part.shape != first.shape:
            raise UnsupportedError(f"channel file {index} has another size than the first: resample it onto the first")
        if not _same_place(part, first):
            raise UnsupportedError(f"channel file {index} lies elsewhere in space than the first: register it first")
    valid: NDArray[np.bool_] | None = None
    for part in parts:
        if part.valid is not None:
            valid = part.valid if valid is None else valid & part.valid
    return replace(first, pixels=np.concatenate([part.pixels for part in parts], axis=1), valid=valid)


def _same_place(one: Image, other: Image) -> bool:
    """Whether two channels may be laid over each other: what both state of space agrees to 0.01 mm."""
    pairs = (
        (one.geometry.spacing, other.geometry.spacing),
        (one.geometry.axes, other.geometry.axes),
        (one.geometry.positions, other.geometry.positions),
    )
    return all(a is None or b is None or np.allclose(a, b, rtol=1e-3, atol=1e-2) for a, b in pairs)
