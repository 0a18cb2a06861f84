"""Checks of encode, presence, decode and training each catch a toy that breaks them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from toys import Toy, caught, subject

from segcli.testing import run_check


class TwoRoads(Toy):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + 0.01


class ListFeatures(Toy):
    def encode(self, x: Tensor) -> Any:
        return list(super().encode(x))


class NoBatchAxis(Toy):
    def encode(self, x: Tensor) -> Any:
        return (*super().encode(x), torch.ones(3))


class NoEncode(nn.Module):
    multiple, offset = 1, 0

    def presence(self, features: Any) -> Any: ...

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1)


def test_encode_and_decode() -> None:
    caught("encode and decode", subject(TwoRoads), "is not forward(x)")
    caught("encode and decode", subject(ListFeatures), "tuple")
    caught("encode and decode", subject(NoBatchAxis), "axis 0")
    caught("encode and decode", subject(NoEncode), "only presence")


class OnePresence(Toy):
    def presence(self, features: Any) -> Any:
        return super().presence(features)[:, :1]


class RelativePresence(Toy):
    def presence(self, features: Any) -> Any:
        return super().presence(features).softmax(dim=0)


def test_presence() -> None:
    caught("presence", subject(OnePresence), "(3, 1), not (3, 2)")
    caught("presence", subject(RelativePresence), "depends on the other tiles")


class RemembersTheBatch(Toy):
    def encode(self, x: Tensor) -> Any:
        self.skip = x.mean(dim=(1, 2, 3), keepdim=True)
        return super().encode(x)

    def decode(self, features: Any) -> Any:
        return super().decode(features) + self.skip[: len(features[0])]


def test_survivors() -> None:
    caught("survivors", subject(RemembersTheBatch), "subset")


class HalfMap(Toy):
    def training_outputs(self, x: Tensor) -> Any:
        maps, presence = super().training_outputs(x)
        return [maps[0][..., ::2, ::2], maps[0]], presence


class ForgetsPresence(Toy):
    def training_outputs(self, x: Tensor) -> Any:
        return super().training_outputs(x)[0], None


class Detached(Toy):
    def training_outputs(self, x: Tensor) -> Any:
        maps, presence = super().training_outputs(x)
        return [m.detach() for m in maps], presence.detach()


class Unused(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.forgotten = nn.Linear(2, 2)


def test_training_outputs() -> None:
    caught("training outputs", subject(HalfMap), "first map")
    caught("training outputs", subject(ForgetsPresence), "presence")
    caught("training outputs", subject(Detached), "gradient")
    finding = run_check("training outputs", subject(Unused))
    assert finding.status == "warning" and "forgotten" in finding.text
