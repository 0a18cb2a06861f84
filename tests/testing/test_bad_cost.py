"""Checks of tiling, cost and the GPU each catch a toy that breaks them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Toy, caught, subject

from segcli.testing import cost, run_check


class KnowsItsPlace(Toy):
    def decode(self, features: Any) -> Any:
        logits = super().decode(features)
        return logits + torch.linspace(-9, 9, logits.shape[-1]) * torch.tensor([1.0, -1.0, 0.0])[:, None, None]


def test_tiles() -> None:
    caught("tiles", subject(KnowsItsPlace), "whole image")


class Looks(nn.Module):
    """Sees exactly ``2 · DISTANCE + 1`` pixels of a row."""

    multiple, offset = 1, 0
    DISTANCE = 6

    def forward(self, x: Tensor) -> Tensor:
        seen = 4 * nn.functional.avg_pool2d(x, (1, 2 * self.DISTANCE + 1), stride=1, padding=(0, self.DISTANCE))
        return torch.cat([-seen, seen, torch.zeros_like(seen)], dim=1)


def test_the_advised_overlap_is_twice_as_far_as_the_network_looks() -> None:
    values = run_check("tiles", subject(Looks, tile=(32, 32), overlap=(2, 2))).values
    assert values["reach"] == Looks.DISTANCE
    assert values["advice"] == 2 * Looks.DISTANCE
    wide = run_check("tiles", subject(Looks, tile=(32, 32), overlap=(12, 12))).values
    assert wide["seam_worst"] < values["seam_worst"]


class Hoards(Toy):
    kept: list[Tensor]

    def encode(self, x: Tensor) -> Any:
        features = super().encode(x)
        self.kept = [*getattr(self, "kept", []), features[0]]
        return features


def test_cost() -> None:
    caught("cost", subject(Hoards), "behind")
    finding = run_check("cost", subject())
    # the input's first feature map and the logits are alive together
    assert finding.values["peak_mb"] >= (4 * 16 * 16 + 3 * 16 * 16) * 4 / 1e6 * 0.5
    assert finding.values["milliseconds"] > 0


class LeavesOneBehind(Toy):
    """A constant that is no buffer stays where it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(1, 4, 1, 1)

    def encode(self, x: Tensor) -> Any:
        return tuple(item * self.scale for item in super().encode(x))


class ChangesWhenMoved(Toy):
    def to(self, *where: Any, **options: Any) -> Any:
        self.last.bias.data += 1
        return self


def test_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's device without memory stands in for a GPU: a tensor that was not moved shows there as well
    monkeypatch.setattr(cost, "accelerator", lambda: torch.device("meta"))
    left = run_check("GPU", subject(LeavesOneBehind))
    assert left.status == "failed" and "buffer" in left.text
    monkeypatch.setattr(cost, "accelerator", lambda: torch.device("cpu"))
    assert run_check("GPU", subject()).status == "passed"
    moved = run_check("GPU", subject(ChangesWhenMoved))
    assert moved.status == "failed" and "differ" in moved.text
