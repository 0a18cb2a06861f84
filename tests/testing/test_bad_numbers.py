"""Checks of sizes, shapes, repeatability, batches and state each catch a toy that breaks them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from toys import MixesBatch, Toy, caught, subject


class RefusesLarge(Toy):
    def encode(self, x: Tensor) -> Any:
        if x.shape[-1] > 16:
            raise ValueError("too large")
        return super().encode(x)


class AcceptsAll(Toy):
    def encode(self, x: Tensor) -> Any:
        return (nn.functional.avg_pool2d(self.first(x), 2),)


def test_sizes() -> None:
    caught("sizes", subject(RefusesLarge), "18 × 18", "refused")
    caught("sizes", subject(AcceptsAll), "17 × 17", "accepted")


class WrongClasses(Toy):
    def decode(self, features: Any) -> Any:
        return super().decode(features)[:, :2]


class Doubles(Toy):
    def decode(self, features: Any) -> Any:
        return super().decode(features).double()


class Overflows(Toy):
    def decode(self, features: Any) -> Any:
        return (super().decode(features) * 5).exp() ** 9


class DividesByContrast(Toy):
    def decode(self, features: Any) -> Any:
        return super().decode(features) / features[0].std(dim=(1, 2, 3), keepdim=True)


class TwoOutputs(Toy):
    def forward(self, x: Tensor) -> Any:
        return [self.decode(self.encode(x))]


def test_shape_and_range() -> None:
    caught("shape and range", subject(WrongClasses), "(2, 2, 16, 16), not (2, 3, 16, 16)")
    caught("shape and range", subject(margin=(2, 2)), "(2, 3, 12, 12)")
    caught("shape and range", subject(Doubles), "float64")
    caught("shape and range", subject(Overflows), "not finite", "very bright")
    caught("shape and range", subject(TwoOutputs), "list")
    caught("shape and range", subject(activation="none"), "probabilities")


class AlwaysDrops(Toy):
    def decode(self, features: Any) -> Any:
        return nn.functional.dropout(super().decode(features), 0.1, training=True)


def test_deterministic() -> None:
    caught("deterministic", subject(AlwaysDrops), "two results")


def test_batch() -> None:
    caught("batch", subject(MixesBatch), "one by one")


class Counts(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x)


class InPlace(Toy):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.sub_(1))


def test_state_kept() -> None:
    caught("state kept", subject(Counts), "calls")
    caught("state kept", subject(InPlace), "in place")


class HiddenWeights(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.secret = [torch.randn(1)]

    def decode(self, features: Any) -> Any:
        return super().decode(features) + self.secret[0]


class LazyWeights(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Parameter(torch.randn(int(torch.randint(1, 1000, ()))))


def test_state_round_trip() -> None:
    caught("state round trip", subject(HiddenWeights), "another")
    caught("state round trip", subject(LazyWeights), "does not fit")
