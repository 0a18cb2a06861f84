"""What tiling does to a network: seams against the whole image, how far it looks, and the overlap that follows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segcli.contract import ModelCard
from segcli.engine.aggregator import PatchAggregator
from segcli.engine.gate import gated_probabilities
from segcli.engine.tiles import positions, window
from segcli.testing.subject import CheckFailed, NotApplicable, Note, Subject, contract_numbers, forward

MEAN_SEAM = 0.1
"""Mean error of the probabilities beyond which tiles do not give the network's result any more."""
WORST_SEAM = 0.1
NOTICEABLE = 0.01
"""A change of a logit by this share of their standard deviation counts as "it looks that far"."""
STRIP = 256
MOST_PIXELS = 2**24


def check_tiles_against_whole(subject: Subject) -> Note:
    """Probabilities of blended tiles against those of the whole image; suggests an overlap from how far it looks."""
    network, card = subject.network(), subject.card
    multiple, _ = contract_numbers(network)
    if getattr(network, "fixed_size", None) is not None:
        raise NotApplicable("the network takes one size only, so it has no result for a whole image")
    if 4 * math.prod(card.tile) * card.network_channels > MOST_PIXELS:
        raise NotApplicable("the tile is too large to run four of them as one image")
    x = subject.tiles(1, _grown(card, multiple))
    whole, tiled = _probabilities(forward(network, x), card), _tiled(network, x, card)
    error = (tiled - whole).abs()
    mean, worst = float(error.mean()), float(error.max())
    reach = measure_reach(subject, network)
    valid = [t - 2 * m for t, m in zip(card.tile, card.margin, strict=True)]
    advice = min(math.ceil(2 * reach / multiple) * multiple, min(valid) // 2) if worst > 1e-4 else 0
    values = {"seam_mean": mean, "seam_worst": worst, "reach": reach, "overlap": list(card.overlap), "advice": advice}
    if mean > MEAN_SEAM:
        raise CheckFailed(
            f"tiles give another result than the whole image: probabilities differ by {mean:.2g} on average "
            "(does a pixel's result depend on where it lies in the tile?)"
        )
    text = (
        f"tiles differ from the whole image by {mean:.1e} on average, {worst:.1e} at worst; "
        f"a pixel depends on what lies up to {reach} pixels away"
    )
    if advice > min(card.overlap):
        capped = " (half a tile; a larger tile would help more)" if advice < 2 * reach else ""
        text += f"; the card's overlap is {min(card.overlap)}, {advice} would be better{capped}"
        return Note(text, values, warning=worst > WORST_SEAM)
    return Note(text, values)


def measure_reach(subject: Subject, network: nn.Module) -> int:
    """How many pixels away (along the last axis) the input still changes an output noticeably.

    Everything farther than r from the middle is drawn anew; the smallest r that leaves the middle as it is. At most
    half of a strip of 256 pixels (or four tiles).
    """
    card = subject.card
    multiple, offset = contract_numbers(network)
    longest = max(STRIP, 4 * card.tile[-1])
    length = offset + multiple * ((longest - offset) // multiple)
    size = (*card.tile[:-1], length)
    x, other = subject.tiles(1, size, seed=3), subject.tiles(1, size, seed=4)
    reference = forward(network, x)
    scale = float(reference.std()) or 1.0
    margin, middle = card.margin[-1], length // 2
    block = slice(middle - multiple // 2 - margin, middle - multiple // 2 - margin + multiple)
    columns = torch.arange(length) - middle

    def changes(radius: int) -> bool:
        near = (columns >= -multiple // 2 - radius) & (columns < multiple + radius)
        changed = forward(network, torch.where(near, x, other))
        moved = float((changed - reference)[..., block].abs().max())
        return moved > NOTICEABLE * scale

    low, high = 0, length // 2
    while low < high:
        radius = (low + high) // 2
        if changes(radius):
            low = radius + 1
        else:
            high = radius
    return low


def _grown(card: ModelCard, multiple: int) -> tuple[int, ...]:
    """About two tiles along each axis (3-D: along the last, to stay affordable)."""
    return tuple(
        t + multiple * math.ceil(t / multiple) if card.spatial_dims == 2 or axis == 2 else t
        for axis, t in enumerate(card.tile)
    )


def _probabilities(logits: Tensor, card: ModelCard) -> Tensor:
    kept = torch.ones(len(logits), len(card.labels), dtype=torch.bool)
    return gated_probabilities(logits, kept, card.activation)[0]


def _tiled(network: nn.Module, x: Tensor, card: ModelCard) -> Tensor:
    valid = [t - 2 * m for t, m in zip(card.tile, card.margin, strict=True)]
    size = [s - 2 * m for s, m in zip(x.shape[2:], card.margin, strict=True)]
    stitch = PatchAggregator(
        size, torch.from_numpy(window(valid)), card.network_outputs, background=card.activation != "sigmoid"
    )
    kept = [True] * len(card.labels)
    bands: list[Tensor | None] = []
    for corner in positions(size, valid, card.overlap):
        if corner[0] != stitch.start:
            bands.append(stitch.advance(corner[0]))
        tile = x
        for axis, (start, side) in enumerate(zip(corner, card.tile, strict=True), start=2):
            tile = tile.narrow(axis, start, side)
        stitch.add(corner, _probabilities(forward(network, tile), card), kept)
    bands.append(stitch.advance())
    return torch.cat([band for band in bands if band is not None], dim=1)
