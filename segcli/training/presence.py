"""What the presence head says of every tile of validation cases, and what it should have said.

Tiles are cut as predict cuts them, so a threshold chosen here means there what it means here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segcli.contract import GatedNetwork, ModelCard
from segcli.engine.device import TYPES, choose_batch
from segcli.engine.prepare import prepare
from segcli.engine.tiles import padding, positions
from segcli.training.dataset import labels_on_grid
from segcli.training.examples import Example
from segcli.training.loop import Hardware


@dataclass(frozen=True)
class TileScores:
    """``probability`` float64 and ``present`` bool ``[tile, label]``; ``group`` int ``[tile]``, a number per group."""

    probability: NDArray[np.float64]
    present: NDArray[np.bool_]
    group: NDArray[np.int64]


def tile_scores(
    network: nn.Module, card: ModelCard, examples: Sequence[Example], hardware: Hardware, fewest: int
) -> TileScores:
    """Scores of all tiles of all examples. Raises TypeError if the network has no presence head.

    A tile that holds only a few pixels (fewer than ``fewest``) of an object that its border cuts is left out: it is
    neither present nor absent, and the neighbouring tile holds the object.
    """
    if not isinstance(network, GatedNetwork):
        raise TypeError("the network has no presence head")
    network.eval().to(hardware.device)
    numbers = {group: n for n, group in enumerate(sorted({example.group for example in examples}))}
    batch = choose_batch(None, hardware.device, card.tile)
    found: list[NDArray[np.float64]] = []
    present: list[NDArray[np.bool_]] = []
    groups: list[int] = []
    waiting: list[Tensor] = []
    for example in examples:
        for pixels, holds in _tiles(example, card, fewest):
            waiting.append(pixels)
            present.append(holds)
            groups.append(numbers[example.group])
            if len(waiting) == batch:
                found.append(_presence(network, waiting, hardware))
                waiting = []
    if waiting:
        found.append(_presence(network, waiting, hardware))
    labels = len(card.labels)
    return TileScores(
        probability=np.concatenate(found) if found else np.zeros((0, labels)),
        present=np.array(present, dtype=bool).reshape(-1, labels),
        group=np.array(groups, dtype=np.int64),
    )


@torch.inference_mode()
def _presence(network: GatedNetwork, tiles: Sequence[Tensor], hardware: Hardware) -> NDArray[np.float64]:
    stacked = torch.stack(list(tiles)).to(hardware.device)
    half = hardware.precision != "float32"
    kind = TYPES[hardware.precision] if half else torch.bfloat16
    with torch.autocast(hardware.device.type, kind, enabled=half):
        presence = network.presence(network.encode(stacked))
    values: NDArray[np.float64] = presence.float().sigmoid().double().cpu().numpy()
    return values


def _tiles(example: Example, card: ModelCard, fewest: int) -> Iterator[tuple[Tensor, NDArray[np.bool_]]]:
    valid = tuple(tile - 2 * margin for tile, margin in zip(card.tile, card.margin, strict=True))
    for part, labels in zip(example.parts, example.labels, strict=True):
        prepared = prepare(part, card, None)
        for index, truth in enumerate(labels_on_grid(labels, prepared, card)):
            pad = padding(truth.shape, valid, card.margin)
            pixels = np.pad(prepared.unit(index).numpy(), [(0, 0), *pad], mode="reflect")
            inner = [(before - m, after - m) for (before, after), m in zip(pad, card.margin, strict=True)]
            drawn = np.pad(truth, inner)  # mirrored labels would be objects that are not there
            for corner in positions(drawn.shape, valid, card.overlap):
                holds = _present(drawn, corner, valid, (len(card.labels), fewest))
                if holds is not None:
                    where = tuple(slice(c, c + t) for c, t in zip(corner, card.tile, strict=True))
                    yield torch.from_numpy(np.ascontiguousarray(pixels[(slice(None), *where)])), holds


def _present(
    drawn: NDArray[Any], corner: Sequence[int], size: Sequence[int], rule: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Which labels a tile holds, ``[label]``; None if that cannot be said of one of them."""
    labels, fewest = rule
    where = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
    counts = np.bincount(drawn[where].ravel(), minlength=labels + 1)[1:]
    few = (counts > 0) & (counts < fewest)
    for number in np.flatnonzero(few) + 1:
        if _leaves(drawn == number, corner, size):
            return None
    present: NDArray[np.bool_] = counts > 0
    return present


def _leaves(mask: NDArray[np.bool_], corner: Sequence[int], size: Sequence[int]) -> bool:
    """Whether any of the mask lies on a border of the tile beyond which the mask goes on."""
    for axis, (start, length) in enumerate(zip(corner, size, strict=True)):
        tile = [slice(c, c + s) for c, s in zip(corner, size, strict=True)]
        for inside, outside in ((start, start - 1), (start + length - 1, start + length)):
            if not 0 <= outside < mask.shape[axis]:
                continue
            edge, beyond = list(tile), list(tile)
            edge[axis], beyond[axis] = slice(inside, inside + 1), slice(outside, outside + 1)
            if (mask[tuple(edge)] & mask[tuple(beyond)]).any():
                return True
    return False
