"""What is checked, and the inputs it is checked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from segcli.contract import ModelCard, ModelPlugin, Network
from segcli.plugin_guard import guarded

TOLERANCE = 1e-4
"""Two ways to compute the same may differ by this share of the largest value: float32 sums in another order."""


class CheckFailed(AssertionError):  # noqa: N818 - reads as what happened
    """The model breaks the contract; the text says how."""


class NotApplicable(Exception):  # noqa: N818 - no error: there is nothing to check
    """The check does not concern this model or this machine; the text says why."""


@dataclass(frozen=True)
class Note:
    """What a passed check has to tell. ``values``: numbers for JSON. ``warning``: worth the author's attention."""

    text: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    warning: bool = False


@dataclass(frozen=True)
class Subject:
    """A plugin with the card it is checked on.

    ``origin``: ``module:object`` of its entry point, None if it is not installed. ``state``: the weights of a model
    folder; None for a network as it is born.
    """

    plugin: ModelPlugin
    card: ModelCard
    origin: str | None = None
    state: Mapping[str, Tensor] | None = None

    def network(self, seed: int = 0) -> nn.Module:
        """A network of its own, in eval mode, on the CPU; ``seed`` decides weights that are not loaded."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with guarded([], seeds=False):
                network = self.plugin.build(self.card)
        if not isinstance(network, nn.Module):
            raise CheckFailed(f"build() returned {type(network).__name__}, not a torch.nn.Module")
        if self.state is not None:
            network.load_state_dict(dict(self.state), strict=True)
        return network.eval()

    def tiles(self, count: int = 1, size: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """``[count, C, *size]`` float32 as after the card's normalisation: soft shapes and noise."""
        size = list(self.card.tile if size is None else size)
        draw = torch.Generator().manual_seed(seed)
        channels = self.card.network_channels
        coarse = torch.randn(count, channels, *(max(1, side // 8) for side in size), generator=draw)
        shapes = functional.interpolate(coarse, size=size, mode="nearest")
        values = 0.9 * shapes + 0.4 * torch.randn(count, channels, *size, generator=draw)
        return values.sigmoid() if self.card.intensity.kind in ("window", "percentile") else values


def contract_numbers(network: nn.Module) -> tuple[int, int]:
    """``multiple`` and ``offset``. Raises CheckFailed if the network has none."""
    if not isinstance(network, Network):
        raise CheckFailed("build() returned no network of the contract: multiple, offset or forward is missing")
    multiple, offset = network.multiple, network.offset
    if type(multiple) is not int or type(offset) is not int or multiple < 1:
        raise CheckFailed(f"multiple and offset must be whole numbers, not {multiple!r} and {offset!r}")
    return multiple, offset


def legal_sizes(network: nn.Module, card: ModelCard) -> list[tuple[int, ...]]:
    """The tile, a larger size, and one that is longer along its first axis alone; the tile alone if it is fixed."""
    multiple, _ = contract_numbers(network)
    if getattr(network, "fixed_size", None) is not None:
        return [card.tile]
    return [card.tile, tuple(t + multiple for t in card.tile), (card.tile[0] + 2 * multiple, *card.tile[1:])]


@torch.inference_mode()
def forward(network: nn.Module, x: Tensor) -> Tensor:
    """The logits. Raises CheckFailed if they are not one tensor of floats."""
    logits = network(x)
    if not isinstance(logits, Tensor):
        raise CheckFailed(f"forward returned {type(logits).__name__}, not one tensor")
    if not logits.is_floating_point():
        raise CheckFailed(f"forward returned {logits.dtype}, not floats")
    return logits


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference as a share of the largest value of ``other`` (at least 1); inf for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    if not one.numel():
        return 0.0
    return float((one.double() - other.double()).abs().max() / other.double().abs().max().clamp_min(1))


def must_agree(one: Tensor, other: Tensor, what: str) -> Note:
    """Raise CheckFailed with ``what`` and by how much, if two results differ by more than rounding."""
    share = difference(one, other)
    if not share <= TOLERANCE:
        if one.shape != other.shape:
            raise CheckFailed(f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}")
        raise CheckFailed(f"{what}: they differ by {share:.2g} of the largest value")
    return Note(f"differs by {share:.1g}" if share else "identical", {"difference": share})
