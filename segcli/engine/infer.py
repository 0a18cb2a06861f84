"""One stream of tiles through encoder, gate and decoder in batches of one fixed shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segcli.contract import GatedNetwork, ModelCard
from segcli.engine.device import TYPES
from segcli.engine.gate import gated_probabilities, keep
from segcli.errors import CaseError, UsageError


@dataclass(frozen=True)
class TileResult:
    """``probabilities`` ``[K, *tile]``, None if no label was kept; ``kept``, ``presence`` ``[labels]``; on the CPU."""

    probabilities: Tensor | None
    kept: Tensor
    presence: Tensor | None


class Inference:
    """Runs a network on tiles. ``taus``: presence thresholds a label, None for no gate."""

    def __init__(self, network: nn.Module, card: ModelCard, taus: tuple[float, ...] | None) -> None:
        self.network = network
        self.card = card
        self.taus = taus
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
        if self.card.spatial_dims == 2 and device.type != "mps":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def run(self, tiles: Sequence[Tensor], batch: int) -> Iterator[TileResult]:
        """Up to ``batch`` tiles ``[C, *tile]``, padded to exactly ``batch``, → one result a tile, in order."""
        stacked = torch.stack([*tiles, *[torch.zeros_like(tiles[0])] * (batch - len(tiles))]).to(self.device)
        if self.card.spatial_dims == 2:
            stacked = stacked.contiguous(memory_format=torch.channels_last)
        labels = len(self.card.labels)
        with self._autocast():
            if not isinstance(self.network, GatedNetwork):
                everything = torch.ones(len(tiles), labels, dtype=torch.bool)
                logits = self.network(stacked)[: len(tiles)]
                yield from self._results(logits, everything, None)
                return
            features = self.network.encode(stacked)
            presence = self.network.presence(features).float().sigmoid()[: len(tiles)].cpu()
            kept = keep(presence, self.taus)
            alive = torch.nonzero(kept.any(dim=1)).flatten()
            decoded: dict[int, TileResult] = {}
            if len(alive):
                chosen = features if len(alive) == batch else tuple(f[alive.to(f.device)] for f in features)
                results = self._results(self.network.decode(chosen), kept[alive], presence[alive])
                decoded = dict(zip(alive.tolist(), results, strict=True))
        for index in range(len(tiles)):
            yield decoded.get(index, TileResult(None, kept[index], presence[index]))

    def _results(self, logits: Tensor, kept: Tensor, presence: Tensor | None) -> Iterator[TileResult]:
        expected = (
            self.card.network_outputs,
            *(t - 2 * m for t, m in zip(self.card.tile, self.card.margin, strict=True)),
        )
        if tuple(logits.shape[1:]) != expected:
            raise CaseError(f"the network returned {tuple(logits.shape[1:])} a tile, the card says {expected}")
        probabilities = gated_probabilities(logits, kept.to(logits.device), self.card.activation).cpu()
        if not bool(torch.isfinite(probabilities).all()):
            raise CaseError("the network returned a value that is not a number; try --precision float32")
        for index, each in enumerate(probabilities):
            yield TileResult(each, kept[index], None if presence is None else presence[index])

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type,
            dtype=TYPES[self.precision] if self.precision != "float32" else torch.bfloat16,
            enabled=self.precision != "float32",
        )
