"""Crops for one batch: a share of them empty, the others around a labelled pixel of a label drawn first.

Drawing the label before the pixel gives a small structure as many crops as a large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcli.errors import UsageError
from segcli.training.dataset import TrainingCase, pad_to

TRIES = 20
"""How often an empty crop is looked for before one with something in it is taken instead."""
MOST_PLACES = 2000
"""Labelled pixels remembered of one unit and label."""


class Sampler:
    """Draws crops of ``crop`` pixels from all units of ``cases``. Raises UsageError if nothing is labelled."""

    def __init__(self, cases: Sequence[TrainingCase], crop: tuple[int, ...]) -> None:
        self._crop = crop
        self._units = [(unit, labels) for case in cases for unit, labels in zip(case.units, case.labels, strict=True)]
        self._full = [index for index, (_, labels) in enumerate(self._units) if labels.any()]
        if not self._full:
            raise UsageError("the training part of the data set holds no labelled pixel: check the split and the masks")
        empty = set(range(len(self._units))) - set(self._full)
        large = {
            index
            for index, (_, labels) in enumerate(self._units)
            if any(have > want for have, want in zip(labels.shape, crop, strict=True))
        }
        self._blank = sorted(empty | large)
        self._places: dict[int, dict[int, NDArray[np.int64]]] = {}

    @property
    def has_empty(self) -> bool:
        """Whether an empty crop can be hoped for."""
        return bool(self._blank)

    def draw(self, count: int, blanks: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """``count`` crops, the first ``blanks`` of them empty: float ``[B, C, *crop]`` and long ``[B, *crop]``."""
        blanks = blanks if self._blank else 0
        chosen = [self._empty_crop(draw) for _ in range(blanks)]
        chosen += [self._full_crop(draw) for _ in range(count - blanks)]
        images, labels = zip(*chosen, strict=True)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels).astype(np.int64))

    def _empty_crop(self, draw: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        for _ in range(TRIES):
            index = self._blank[draw.integers(len(self._blank))]
            shape = self._units[index][1].shape
            corner = [int(draw.integers(max(0, s - c) + 1)) for s, c in zip(shape, self._crop, strict=True)]
            image, labels = self._cut(index, corner)
            if not labels.any():
                break
        return image, labels

    def _full_crop(self, draw: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[Any]]:
        index = self._full[draw.integers(len(self._full))]
        places = list(self._places_of(index).values())
        of_label = places[draw.integers(len(places))]
        pixel = of_label[draw.integers(len(of_label))]
        corner = []
        for at, side, want in zip(pixel.tolist(), self._units[index][1].shape, self._crop, strict=True):
            first, last = max(0, at - want + 1), min(at, max(0, side - want))
            corner.append(int(draw.integers(min(first, last), last + 1)))
        return self._cut(index, corner)

    def _places_of(self, index: int) -> dict[int, NDArray[np.int64]]:
        if index not in self._places:
            labels = self._units[index][1]
            found = {}
            for value in np.unique(labels[labels > 0]).tolist():
                pixels = np.argwhere(labels == value)
                found[value] = pixels[:: len(pixels) // MOST_PLACES + 1]
            self._places[index] = found
        return self._places[index]

    def _cut(self, index: int, corner: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[Any]]:
        where = tuple(slice(start, start + want) for start, want in zip(corner, self._crop, strict=True))
        image, labels = self._units[index]
        return pad_to(image[(slice(None), *where)], self._crop), pad_to(labels[where], self._crop)
