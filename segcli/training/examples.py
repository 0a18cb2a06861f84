"""Pairs → pixels and labels on the same grid, read as predict reads them and checked against each other."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import SegcliError, UsageError
from segcli.formats.dicom.records import dicom_case
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import ReadCase, Readers
from segcli.geometry import difference
from segcli.image import Image, LabelMap
from segcli.pairing.images import Pair
from segcli.pairing.names import Numbered
from segcli.pairing.numbered import united
from segcli.pairing.sources import DICOM, laid_out, sources_of

AHEAD = 4
MOST_UNNAMED_LABELS = 64


@dataclass(frozen=True)
class Example:
    """``parts`` as stored; ``labels``: of each part ``[slice, row, column]``, the label numbers of the mask file.

    ``body_parts``: what DICOM headers state. ``warnings``: what predict would warn of.
    """

    name: str
    group: str
    parts: tuple[Image, ...]
    labels: tuple[NDArray[Any], ...]
    modality: str | None = None
    body_parts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_examples(
    pairs: Sequence[Pair],
    groups: Mapping[str, str],
    request: ReadRequest,
    readers: Readers,
    told: Callable[[int], None] = lambda _: None,
    *,
    numbered: Numbered | None = None,
) -> list[Example]:
    """All pairs, in order. ``told(n)`` after each. Raises UsageError naming what cannot be read or does not fit."""
    waiting: deque[tuple[Pair, Future[ReadCase]]] = deque()
    examples: list[Example] = []
    todo = deque(pairs)
    while todo or waiting:
        while todo and len(waiting) < AHEAD:
            pair = todo.popleft()
            waiting.append((pair, readers.submit_read(pair.case, request)))
        pair, future = waiting.popleft()
        try:
            delivery = future.result()
            masks = _masks(pair, numbered, readers)
        except UsageError:
            raise
        except SegcliError as error:
            raise UsageError(f"{pair.name}: {error}") from error
        parts = tuple(part for part in delivery.parts if isinstance(part, Image))  # all: none was asked for in bands
        labels = _aligned(pair, parts, masks)
        examples.append(
            Example(
                pair.name,
                groups[pair.name],
                parts,
                labels,
                pair.case.modality,
                pair.case.body_parts,
                tuple(dict.fromkeys((*pair.case.warnings, *delivery.warnings))),
            )
        )
        told(len(examples))
    return examples


def repeated_across_groups(examples: Sequence[Example]) -> int:
    """How many examples have the very pixels of one in another group. Images of one value only are not counted."""
    groups: dict[bytes, set[str]] = {}
    digests = [_digest(example) for example in examples]
    for example, digest in zip(examples, digests, strict=True):
        if digest is not None:
            groups.setdefault(digest, set()).add(example.group)
    return sum(digest is not None and len(groups[digest]) > 1 for digest in digests)


def _digest(example: Example) -> bytes | None:
    if all(part.pixels.min() == part.pixels.max() for part in example.parts):
        return None
    total = hashlib.sha256()
    for part in example.parts:
        total.update(repr((part.pixels.dtype.str, part.pixels.shape)).encode())
        total.update(np.ascontiguousarray(part.pixels).data)
    return total.digest()


def label_values(
    examples: Sequence[Example], stated: Mapping[int, str] | None, by: str = "dataset.json or --label"
) -> tuple[int, ...]:
    """The label numbers to train, ascending: the stated ones (``by`` what, for a message), else all that occur.

    Raises UsageError for numbers no description names, for masks that are no label maps, and for empty masks only.
    """
    found: dict[int, str] = {}
    for example in examples:
        for labels in example.labels:
            for value in np.unique(labels).tolist():
                found.setdefault(int(value), example.name)
    found.pop(0, None)
    if not found:
        raise UsageError("no mask holds a label: every pixel of every mask is 0")
    if stated is None:
        if len(found) > MOST_UNNAMED_LABELS:
            raise UsageError(
                f"the masks hold {len(found)} different numbers: they seem to be grey images or JPEG, not label maps: "
                "each class needs one number of its own"
            )
        return tuple(sorted(found))
    for value, name in sorted(found.items()):
        if value not in stated:
            raise UsageError(
                f"{name}: its mask holds the label {value}, which {by} does not name "
                f"(named: {', '.join(map(str, sorted(stated)))})"
            )
    return tuple(sorted(stated))


def _masks(pair: Pair, numbered: Numbered | None, readers: Readers) -> Sequence[LabelMap]:
    read = [(mask.number, readers.read_labels(mask.file.format, mask.file.path)) for mask in pair.masks]
    return read[0][1] if numbered is None else united(pair.name, read, numbered)


def _aligned(pair: Pair, parts: Sequence[Image], masks: Sequence[LabelMap]) -> tuple[NDArray[Any], ...]:
    if pair.masks[0].file.format == DICOM and pair.case.format == DICOM:
        return (_by_source(pair, parts[0], masks[0]),)
    if len(parts) != len(masks):
        raise UsageError(f"{pair.name}: the image has {len(parts)} pages or time points, its mask has {len(masks)}")
    for part, mask in zip(parts, masks, strict=True):
        stored = (part.shape[0], *part.shape[2:])
        if mask.pixels.shape != stored:
            raise UsageError(
                f"{pair.name}: image and mask do not have the same geometry: {_size(stored)} and "
                f"{_size(mask.pixels.shape)} (slices × rows × columns): resample the mask onto the image"
            )
        differing = difference(part.geometry, mask.geometry)
        if differing is not None:
            raise UsageError(
                f"{pair.name}: image and mask do not have the same geometry: they differ in {differing}: resample the "
                "mask onto the image"
            )
    return tuple(mask.pixels for mask in masks)


def _by_source(pair: Pair, part: Image, mask: LabelMap) -> NDArray[Any]:
    """A SEG holds the slices that have frames: each goes where the image it names lies, all others are empty."""
    _, _, rows, columns = part.shape
    if mask.pixels.shape[1:] != (rows, columns):
        raise UsageError(
            f"{pair.name}: image and mask do not have the same geometry: {rows} × {columns} and "
            f"{_size(mask.pixels.shape[1:])} (rows × columns)"
        )
    places = {source: place for place, source in enumerate(dicom_case(pair.case).sources)}
    if not places.keys() >= set(sources_of(mask)):
        raise UsageError(f"{pair.name}: its DICOM SEG has a frame of an image that is not in the folder")
    return laid_out(mask, places, len(places))


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
