"""A data set's folder → its examples, with the number of channels settled on the way."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from segcli.errors import UsageError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers
from segcli.pairing.images import Pair, find_pairs
from segcli.pairing.layout import Layout
from segcli.pairing.sources import DICOM
from segcli.training.deriving import default_channels
from segcli.training.examples import Example, read_examples

GREY = ("grey",)
Choose: TypeAlias = Callable[[Sequence[Pair], Mapping[str, str]], Sequence[Pair]]
"""All pairs and their groups → the pairs to read."""
BYTES_A_PIXEL = 8
"""Of one channel: as stored, and float32 on the network's grid."""


def read_all(
    layout: Layout,
    channels: tuple[str, ...] | None,
    groups: Callable[[Sequence[str]], Mapping[str, str]],
    told: Callable[[int, int], None] = lambda *_: None,
    chosen: Choose = lambda pairs, _: pairs,
) -> tuple[list[Example], Layout]:
    """All examples, and the layout with its channels named. ``channels``: as asked for, instead of the layout's.

    ``groups``: names of cases → their groups. ``chosen``: which of the pairs are read.
    Raises UsageError naming what is missing, does not fit or cannot be read.
    """
    if channels is not None:
        if layout.channels is not None and len(layout.channels) != len(channels):
            raise UsageError(f"--channels names {len(channels)}, dataset.json has {len(layout.channels)}")
        layout = replace(layout, channels=channels)
    with Readers(max(1, min(4, (os.cpu_count() or 2) - 1))) as readers:
        found = find_pairs(layout, readers)
        pairs: Sequence[Pair] = found.pairs
        layout = replace(layout, notes=found.notes)
        grouped = groups([pair.name for pair in pairs])
        pairs = chosen(pairs, grouped)
        _check_memory(pairs)

        def read(wanted: tuple[str, ...] | None) -> list[Example]:
            return read_examples(
                pairs, grouped, ReadRequest(channels=wanted), readers, lambda n: told(n, len(pairs)),
                numbered=layout.numbered,
            )  # fmt: skip

        examples = read(layout.channels)
        if layout.channels is None:
            counts = {part.shape[1] for example in examples for part in example.parts}
            if counts == {1, 3} or (counts == {3} and _all_grey(examples)):
                examples, counts = read(GREY), {1}
            if len(counts) != 1:
                raise UsageError(
                    f"the images have different numbers of channels ({', '.join(map(str, sorted(counts)))}): convert "
                    "them to one kind"
                )
            layout = replace(layout, channels=default_channels(counts.pop()))
    return examples, layout


def _all_grey(examples: Sequence[Example]) -> bool:
    """Whether every colour image is grey after all: red, green and blue are the same."""
    return all(
        np.array_equal(part.pixels[:, 0], part.pixels[:, 1]) and np.array_equal(part.pixels[:, 0], part.pixels[:, 2])
        for example in examples
        for part in example.parts
    )


def _check_memory(pairs: Sequence[Pair]) -> None:
    needed = BYTES_A_PIXEL * sum(_pixels(pair) for pair in pairs)
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return
    if needed > 0.8 * there:
        raise UsageError(
            f"the data set needs about {needed / 2**30:.0f} GiB of memory, this machine has {there / 2**30:.0f}: train "
            "on fewer or smaller images, or on a larger machine"
        )


def _pixels(pair: Pair) -> int:
    """Of all channels; many files are slices of one DICOM image, but channels of another."""
    if pair.case.shape is None:
        return 0
    return math.prod(pair.case.shape) * (1 if pair.case.format == DICOM else len(pair.case.files))
