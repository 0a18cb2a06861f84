"""What the network is trained on: the units predict would cut tiles from, and their labels on the same grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from segcli.contract import Label, ModelCard
from segcli.engine.prepare import Prepared, prepare
from segcli.errors import CaseError, UsageError
from segcli.training.examples import Example


@dataclass(frozen=True)
class TrainingCase:
    """One part of a case on the network's grid.

    ``units``: float32 ``[unit, channel, *spatial]``, one unit a slice for a 2-D card (neighbouring slices are channels
    where the card asks for context), one in all for a 3-D card. ``labels``: ``[unit, *spatial]``, 0 for background, k
    for the card's k-th label.
    """

    name: str
    group: str
    units: NDArray[np.float32]
    labels: NDArray[Any]


def training_cases(example: Example, card: ModelCard, stated: tuple[float, ...] | None = None) -> list[TrainingCase]:
    """Every part of an example, prepared by the engine as for predict. ``stated``: --spacing, mm.

    Raises UsageError naming a case that cannot be brought to the card's orientation or spacing.
    """
    cases = []
    for part, labels in zip(example.parts, example.labels, strict=True):
        try:
            prepared = prepare(part, card, stated)
        except CaseError as error:
            raise UsageError(f"{example.name}: {error}") from error
        count = 1 if card.spatial_dims == 3 else prepared.stored[0]
        units = np.stack([prepared.unit(index).numpy() for index in range(count)])
        cases.append(TrainingCase(example.name, example.group, units, labels_on_grid(labels, prepared, card)))
    return cases


def labels_on_grid(labels: NDArray[Any], prepared: Prepared, card: ModelCard) -> NDArray[Any]:
    """Label numbers ``[slice, row, column]`` as stored → class numbers ``[unit, *spatial]`` on the network's grid."""
    turned = np.ascontiguousarray(prepared.reorientation.apply(class_numbers(labels, card.labels)))
    size = list(prepared.grid[3 - card.spatial_dims :])
    stack = turned[:, np.newaxis] if card.spatial_dims == 2 else turned[np.newaxis, np.newaxis]
    if list(stack.shape[2:]) == size:
        return stack[:, 0]
    resized = functional.interpolate(torch.from_numpy(stack).float(), size=size, mode="nearest-exact")
    found: NDArray[Any] = resized[:, 0].numpy().astype(stack.dtype)
    return found


def class_numbers(labels: NDArray[Any], wanted: Sequence[Label]) -> NDArray[Any]:
    """Numbers of a mask file → 0 for background, k for the k-th label. What no label names is background."""
    table = np.zeros(65536, np.uint8 if len(wanted) < 256 else np.uint16)
    for number, label in enumerate(wanted, start=1):
        table[label.value] = number
    found: NDArray[Any] = table[labels]
    return found


def pad_to(plane: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """``[..., *spatial]`` padded by reflection, evenly on both sides, to at least ``size``, as predict pads."""
    dims = len(size)
    missing = [max(0, want - have) for want, have in zip(size, plane.shape[-dims:], strict=True)]
    if not any(missing):
        return plane
    widths = [(0, 0)] * (plane.ndim - dims) + [(m // 2, m - m // 2) for m in missing]
    return np.pad(plane, widths, mode="reflect")
