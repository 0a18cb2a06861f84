"""The networks as their papers draw them, on the weights of a segcli network: what a user of another tool would run.

No banded products, no folding, every branch of UNet 3+ enlarged first and convolved after.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segcli_models.blocks import Unit


class Textbook(nn.Module):
    """``forward``: ``[B, 1, row, column]`` → logits; the weights are those of ``network``."""

    def __init__(self, plugin: str, network: nn.Module) -> None:
        super().__init__()
        self.network = _plain(network)
        self.decoder = {"unet": self._unet, "unet3p": self._unet3p}[plugin]

    def forward(self, x: Tensor) -> Tensor:
        """Encoder and decoder; the presence head is not asked."""
        features: list[Tensor] = []
        for level in self.network.encoder.levels:
            x = level(functional.max_pool2d(features[-1], 2) if features else x)
            features.append(x)
        return self.decoder(features)

    def _unet(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for up, merge, skip in zip(self.network.up, self.network.merge, reversed(features[:-1]), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.network.head(x)

    def _unet3p(self, features: list[Tensor]) -> Tensor:
        decoded = [features[-1]]
        for level in (3, 2, 1, 0):
            resized = [functional.max_pool2d(features[k], 2 ** (level - k)) for k in range(level)]
            resized.append(features[level])
            for k, x in enumerate(decoded, start=1):
                resized.append(functional.interpolate(x, scale_factor=2.0**k, mode="bilinear", align_corners=False))
            maps = [unit(x) for unit, x in zip(self.network.branches[level], resized, strict=True)]
            decoded.insert(0, self.network.fuse[level](torch.cat(maps, dim=1)))
        return self.network.heads[0](decoded[0])


def _plain(module: nn.Module) -> nn.Module:
    """The same layers in containers of torch, which call one after the other and nothing else."""
    for name, child in module.named_children():
        setattr(module, name, nn.Sequential(*child) if isinstance(child, Unit) else _plain(child))
    return module
