"""Losses on logits: cross-entropy + soft Dice over non-empty crops, and presence as a loss of its own.

A region loss gives no gradient on an empty target, so it cannot teach "nothing here": the presence loss does.

Logits are ``[B, K, *spatial]``: softmax, channel 0 background; sigmoid, one channel a label. ``labels``,
``[B, *spatial]``, are class numbers, 0 for background.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from segcli.training.hybrid import hybrid_loss, ms_ssim_loss

Over: TypeAlias = Literal["image", "batch"]
LossKind: TypeAlias = Literal["dice", "hybrid"]

SMOOTHING = 1e-5
DEEP_SUPERVISION = (1.0, 0.5, 0.25, 0.125, 0.125)


def foreground(logits: Tensor, labels: Tensor, activation: str = "softmax") -> tuple[Tensor, Tensor]:
    """Probabilities and targets of the labels, both ``[B, labels, *spatial]``, float."""
    if activation == "sigmoid":
        probabilities = logits.sigmoid()
    else:
        probabilities = (logits if activation == "none" else logits.softmax(dim=1))[:, 1:]
    targets = torch.stack([labels == k for k in range(1, probabilities.shape[1] + 1)], dim=1)
    return probabilities, targets.to(logits.dtype)


def soft_dice_loss(logits: Tensor, labels: Tensor, *, over: Over = "image", activation: str = "softmax") -> Tensor:
    """1 − soft Dice, mean over the classes that are present; 0 if none is.

    ``image``: one Dice per image and class, images without the class left out. ``batch``: the batch is one large
    image, so what is predicted on empty images counts, and a small object does not weigh as much as a large one.
    """
    probabilities, targets = (each.flatten(2) for each in foreground(logits, labels, activation))
    overlap = (probabilities * targets).sum(dim=2)
    total = probabilities.sum(dim=2) + targets.sum(dim=2)
    present = targets.any(dim=2)
    if over == "batch":
        overlap, total, present = overlap.sum(dim=0), total.sum(dim=0), present.any(dim=0)
    dice = (2 * overlap + SMOOTHING) / (total + SMOOTHING)
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


def entropy_loss(logits: Tensor, labels: Tensor, activation: str = "softmax") -> Tensor:
    """Cross-entropy; for ``sigmoid`` the binary one of each label."""
    if activation == "sigmoid":
        _, targets = foreground(logits, labels, activation)
        return functional.binary_cross_entropy_with_logits(logits, targets)
    return functional.cross_entropy(logits, labels)


def presence_loss(logits: Tensor, labels: Tensor, fewest: int) -> Tensor:
    """Binary cross-entropy of ``[B, labels]`` against "class k has at least ``fewest`` pixels in this crop".

    Crops with some but fewer pixels are left out: an object cut by the border is neither present nor absent.
    """
    counts = torch.stack([(labels == k).flatten(1).sum(dim=1) for k in range(1, logits.shape[1] + 1)], dim=1)
    certain = ((counts == 0) | (counts >= fewest)).to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, (counts > 0).to(logits.dtype), reduction="none")
    return (each * certain).sum() / certain.sum().clamp_min(1)


def segmentation_loss(
    maps: list[Tensor],
    labels: Tensor,
    *,
    over: Over = "image",
    kind: LossKind = "dice",
    activation: str = "softmax",
    similarity: float = 0.0,
    weights: tuple[float, ...] = DEEP_SUPERVISION,
) -> Tensor:
    """Weighted sum over the supervised maps, full resolution first.

    ``dice``: cross-entropy + soft Dice (``over``: see :func:`soft_dice_loss`) + ``similarity`` · (1 − MS-SSIM).
    ``hybrid``: the loss of the UNet 3+ paper. Raises ValueError if there are more maps than ``weights``.
    """
    total = torch.zeros((), device=labels.device)
    if len(maps) > len(weights):
        raise ValueError(f"{len(maps)} supervised maps, but weights for {len(weights)}")
    for weight, logits in zip(weights, maps, strict=False):
        each = logits.float()
        if kind == "hybrid":
            total = total + weight * hybrid_loss(*foreground(each, labels, activation))
            continue
        loss = entropy_loss(each, labels, activation)
        loss = loss + soft_dice_loss(each, labels, over=over, activation=activation)
        if similarity:
            loss = loss + similarity * ms_ssim_loss(*foreground(each, labels, activation))
        total = total + weight * loss
    return total
