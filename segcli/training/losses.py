"""Losses on logits: cross-entropy + soft Dice over non-empty crops, and presence as a loss of its own.

A region loss gives no gradient on an empty target, so it cannot teach "nothing here": the presence loss does.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

SMOOTHING = 1e-5
DEEP_SUPERVISION = (1.0, 0.5, 0.25, 0.125, 0.125)


def soft_dice_loss(logits: Tensor, labels: Tensor, *, over: Literal["image", "batch"] = "image") -> Tensor:
    """1 − soft Dice, mean over the classes that are present; 0 if none is.

    ``logits`` ``[B, K, *spatial]`` (softmax, channel 0 background), ``labels`` ``[B, *spatial]`` class indices.
    ``image``: one Dice per image and class, images without the class left out. ``batch``: the batch is one large
    image, so what is predicted on empty images counts, and a small object does not weigh as much as a large one.
    """
    probabilities = logits.softmax(dim=1)[:, 1:].flatten(2)
    targets = torch.stack([labels == k for k in range(1, logits.shape[1])], dim=1).flatten(2).to(logits.dtype)
    overlap = (probabilities * targets).sum(dim=2)
    total = probabilities.sum(dim=2) + targets.sum(dim=2)
    present = targets.any(dim=2)
    if over == "batch":
        overlap, total, present = overlap.sum(dim=0), total.sum(dim=0), present.any(dim=0)
    dice = (2 * overlap + SMOOTHING) / (total + SMOOTHING)
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


def presence_loss(logits: Tensor, labels: Tensor, fewest: int) -> Tensor:
    """Binary cross-entropy of ``[B, labels]`` against "class k has at least ``fewest`` pixels in this crop".

    Crops with some but fewer pixels are left out: an object cut by the border is neither present nor absent.
    """
    counts = torch.stack([(labels == k).flatten(1).sum(dim=1) for k in range(1, logits.shape[1] + 1)], dim=1)
    certain = ((counts == 0) | (counts >= fewest)).to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, (counts > 0).to(logits.dtype), reduction="none")
    return (each * certain).sum() / certain.sum().clamp_min(1)


def segmentation_loss(maps: list[Tensor], labels: Tensor, *, over: Literal["image", "batch"] = "image") -> Tensor:
    """Weighted sum over the supervised maps of cross-entropy + soft Dice (``over``: see :func:`soft_dice_loss`)."""
    total = torch.zeros(())
    for weight, logits in zip(DEEP_SUPERVISION, maps, strict=False):
        total = total + weight * (functional.cross_entropy(logits, labels) + soft_dice_loss(logits, labels, over=over))
    return total
