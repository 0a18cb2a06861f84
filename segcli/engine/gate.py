"""The gate: presence probabilities → which labels of which tiles are kept, and what that does to probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from segcli.contract import GatedNetwork, ModelCard
from segcli.errors import UsageError


def thresholds(card: ModelCard, network: object, wanted: str | float) -> tuple[float, ...] | None:
    """One presence threshold a label, or None for no gate. Raises UsageError if a gate is asked for but impossible."""
    if wanted == "off":
        return None
    head = isinstance(network, GatedNetwork)
    if isinstance(wanted, float):
        if not head:
            raise UsageError("--gate: this model has no presence head, so it cannot gate; use --gate off")
        return (wanted,) * len(card.labels)
    if card.gate is None:
        return None
    if not head:
        raise UsageError("the card states gate thresholds but its network has no presence head")
    return card.gate.threshold


def keep(presence: Tensor, presence_thresholds: tuple[float, ...] | None) -> Tensor:
    """Presence probabilities ``[B, labels]`` → bool ``[B, labels]``: is the label kept in the tile?"""
    if presence_thresholds is None:
        return torch.ones_like(presence, dtype=torch.bool)
    return presence >= torch.tensor(presence_thresholds, dtype=presence.dtype, device=presence.device)


def gated_probabilities(logits: Tensor, kept: Tensor, activation: str) -> Tensor:
    """Logits ``[B, K, *spatial]`` and kept ``[B, labels]`` → probabilities, float32, in which absent labels are 0.

    ``kept`` lies on the CPU, ``logits`` anywhere.

    Probabilities are gated, never logits: a logit of 0 would be a probability of one half.
    """
    logits = logits.float()
    if bool(kept.all()):
        return logits.sigmoid() if activation == "sigmoid" else logits.softmax(1) if activation == "softmax" else logits
    if activation != "sigmoid":
        kept = torch.cat([torch.ones_like(kept[:, :1]), kept], dim=1)
    there = kept.reshape(*kept.shape, *(1 for _ in logits.shape[2:])).to(logits.device)
    if activation == "sigmoid":
        return logits.sigmoid() * there
    if activation == "softmax":
        return logits.masked_fill(~there, float("-inf")).softmax(dim=1)
    rest = logits * there
    return rest / rest.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
