"""Toy networks: one that keeps the contract, to be broken by the tests one way at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from segcli.contract import Label, ModelCard
from segcli.testing import Subject, run_check


def toy_card(**changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "plugin": "toy", "name": "toy", "version": "0", "license": "CC0-1.0", "spatial_dims": 2, "channels": ("grey",),
        "labels": (Label(1, "one", (255, 0, 0)), Label(2, "two", (0, 255, 0))),
        "tile": (16, 16), "overlap": (4, 4), "margin": (0, 0),
    }  # fmt: skip
    return ModelCard(**{**values, **changes})


class Toy(nn.Module):
    """Two convolutions with a stride of 2 between them and a presence head."""

    multiple, offset = 2, 0

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def encode(self, x: Tensor) -> Any:
        if any(side % 2 for side in x.shape[2:]):
            raise ValueError("sides must be even")
        return (nn.functional.avg_pool2d(self.first(x), 2),)

    def presence(self, features: Any) -> Any:
        return self.head(features[0].mean(dim=(2, 3)))

    def decode(self, features: Any) -> Any:
        return self.last(nn.functional.interpolate(features[0], scale_factor=2.0, mode="nearest"))

    def forward(self, x: Tensor) -> Any:
        return self.decode(self.encode(x))

    def training_outputs(self, x: Tensor) -> Any:
        features = self.encode(x)
        return [self.decode(features)], self.presence(features)


class ToyPlugin:
    """A plugin around any network class."""

    api, name, summary = 1, "toy", "a toy"

    def __init__(self, network: Callable[[], Any] = Toy, **card: Any) -> None:
        self._network, self._card = network, card

    def example(self) -> Any:
        return toy_card(**self._card)

    def default(self) -> Any:
        return None

    def build(self, card: ModelCard) -> Any:
        for name in card.plugin_options:
            raise ValueError(f"unknown option {name!r}")
        return self._network()


def subject(network: Callable[[], Any] = Toy, **card: Any) -> Subject:
    plugin = ToyPlugin(network, **card)
    return Subject(plugin, plugin.example())


class MixesBatch(Toy):
    def decode(self, features: Any) -> Any:
        logits = super().decode(features)
        return logits - logits.mean(dim=0, keepdim=True)


def caught(check: str, broken: Subject, *words: str) -> None:
    assert run_check(check, subject()).status != "failed"
    finding = run_check(check, broken)
    assert finding.status == "failed", finding
    for word in words:
        assert word in finding.text, finding.text
