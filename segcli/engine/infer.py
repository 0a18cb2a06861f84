"""Batches of one fixed shape through encoder, gate and decoder of a network on its device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segcli.contract import Features, GatedNetwork, ModelCard
from segcli.engine.device import TYPES
from segcli.engine.gate import gated_probabilities, keep
from segcli.errors import CaseError, UsageError


@dataclass(frozen=True)
class Encoded:
    """``features``: batch on axis 0, padding included. ``kept``, ``presence``: ``[tile, label]`` on the CPU, unpadded.

    ``presence`` is None for a network without a presence head; its features are the pixels.
    """

    features: Features
    kept: Tensor
    presence: Tensor | None


class Inference:
    """Runs a network in two steps, so that survivors of several encoder batches fill one decoder batch.

    Every batch is padded to its full size: what a tile becomes does not depend on how many share its batch.
    ``presence_thresholds``: one per label, None for no gate.
    """

    def __init__(self, network: nn.Module, card: ModelCard, presence_thresholds: tuple[float, ...] | None) -> None:
        self.network = network
        self.card = card
        self.presence_thresholds = presence_thresholds
        self.device = torch.device("cpu")
        self.precision = "float32"

    def to(self, device: torch.device, precision: str) -> Inference:
        """Move the network; returns itself. Raises UsageError if it cannot run there."""
        self.device, self.precision = device, precision
        try:
            self.network.to(device)
        except RuntimeError as error:
            first = str(error).splitlines()[0][:200]
            raise UsageError(f"--device {device}: the network cannot run there: {first}") from error
        if self._channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, unused-ignore]
        return self

    @torch.inference_mode()
    def encode(self, tiles: Sequence[Tensor], batch: int) -> Encoded:
        """Up to ``batch`` tiles ``[C, *tile]`` float32 on the device."""
        stacked = torch.stack([*tiles, *[torch.zeros_like(tiles[0])] * (batch - len(tiles))])
        if self._channels_last:
            stacked = stacked.contiguous(memory_format=torch.channels_last)
        if not isinstance(self.network, GatedNetwork):
            return Encoded((stacked,), torch.ones(len(tiles), len(self.card.labels), dtype=torch.bool), None)
        with self._autocast():
            features = self.network.encode(stacked)
            presence = self.network.presence(features)[: len(tiles)].float().sigmoid().cpu()
        if presence.shape != (len(tiles), len(self.card.labels)):
            raise CaseError(
                f"the network's presence has the shape {tuple(presence.shape[1:])} a tile, "
                f"the card has {len(self.card.labels)} label(s)"
            )
        if not bool(torch.isfinite(presence).all()):
            raise CaseError("the network's presence is not a number; try --precision float32")
        return Encoded(features, keep(presence, self.presence_thresholds), presence)

    @torch.inference_mode()
    def decode(self, features: Sequence[Features], kept: Tensor, batch: int) -> Tensor:
        """Features of up to ``batch`` tiles (``[1, ...]`` each, or one full batch) and ``kept`` ``[tile, label]``.

        Returns probabilities ``[tile, K, *returned]``, float32, on the device, absent labels 0. Raises CaseError if
        the network returns another shape than the card says.
        """
        if len(features) == 1 and len(features[0][0]) == batch:
            full = features[0]
        else:
            missing = batch - len(features)
            full = tuple(
                torch.cat([*maps, *[torch.zeros_like(maps[0])] * missing]) for maps in zip(*features, strict=True)
            )
        with self._autocast():
            logits = self.network.decode(full) if isinstance(self.network, GatedNetwork) else self.network(full[0])
        expected = (
            self.card.network_outputs,
            *(t - 2 * m for t, m in zip(self.card.tile, self.card.margin, strict=True)),
        )
        if tuple(logits.shape[1:]) != expected:
            raise CaseError(f"the network returned {tuple(logits.shape[1:])} a tile, the card says {expected}")
        return gated_probabilities(logits[: len(kept)], kept, self.card.activation)

    @property
    def _channels_last(self) -> bool:
        return self.card.spatial_dims == 2 and self.device.type != "mps"

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type,
            dtype=TYPES[self.precision] if self.precision != "float32" else torch.bfloat16,
            enabled=self.precision != "float32",
        )
