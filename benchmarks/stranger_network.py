"""A small residual U-Net with a presence head: what a stranger puts in place of the scaffold's network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segcli.contract import Features


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norms[0](self.first(x)).relu()
        return (self.norms[1](self.second(y)) + self.shortcut(x)).relu()


class Network(nn.Module):
    multiple, offset = 4, 0

    def __init__(self, inputs: int, outputs: int, labels: int, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList(Residual(a, b) for a, b in zip([inputs, *widths], widths, strict=False))
        self.up = nn.ModuleList([Residual(6 * width, 2 * width), Residual(3 * width, width)])
        self.head = nn.Conv2d(width, outputs, 1)
        self.classify = nn.Conv2d(4 * width, labels, 1)

    def encode(self, x: Tensor) -> Features:
        if any(side % self.multiple for side in x.shape[2:]):
            raise ValueError(f"every side must be a multiple of {self.multiple}, not {tuple(x.shape[2:])}")
        features: list[Tensor] = []
        for level in self.down:
            x = level(functional.max_pool2d(x, 2) if features else x)
            features.append(x)
        return tuple(features)

    def presence(self, features: Features) -> Tensor:
        return self.classify(features[-1]).amax(dim=(2, 3))

    def decode(self, features: Features) -> Tensor:
        x = features[-1]
        for level, skip in zip(self.up, reversed(features[:-1]), strict=True):
            x = level(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def training_outputs(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        features = self.encode(x)
        return [self.decode(features)], self.presence(features)
