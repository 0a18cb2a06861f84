"""UNet 3+ (Huang et al. 2020, arXiv 2004.08790): full-scale skip connections."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from segcli.contract import Features
from segcli_models.blocks import Blocks, Options, Shape, Unit, enlarge, shrink
from segcli_models.encoder import LEVELS, SegmentationNetwork
from segcli_models.upsampled import upsampled_conv


class UNet3Plus(SegmentationNetwork):
    """Each decoder level sees all encoder levels above it, its own, and all decoder levels below it.

    Every branch is resized first and then convolved to ``base`` channels; the five are fused by one convolution.
    """

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__(shape, options)
        blocks = Blocks(shape.dims, options)
        widths = self.encoder.widths
        fused = LEVELS * options.base
        self.branches = nn.ModuleList()
        self.fuse = nn.ModuleList()
        for level in range(LEVELS - 1):
            below = [fused] * (LEVELS - 2 - level) + [widths[-1]]
            inputs = widths[: level + 1] + below
            self.branches.append(nn.ModuleList(blocks.unit(width, options.base) for width in inputs))
            self.fuse.append(blocks.unit(fused, fused))
        heads = [fused] * (LEVELS - 1) + [widths[-1]] if options.deep_supervision else [fused]
        self.heads = nn.ModuleList(blocks.head(width, shape.outputs, kernel=3) for width in heads)

    def supervised(self, features: Features) -> list[Tensor]:
        """The logits of every head at full size, full resolution first."""
        decoded = self._decoded(features)
        return [enlarge(head(x), 2**i) if i else head(x) for i, (head, x) in enumerate(zip(self.heads, decoded))]  # noqa: B905

    def decode(self, features: Features) -> Tensor:
        """Logits of the full-resolution head; the others only serve training."""
        logits: Tensor = self.heads[0](self._decoded(features)[0])
        return logits

    def _decoded(self, features: Features) -> list[Tensor]:
        decoded = [features[-1]]
        for level in reversed(range(LEVELS - 1)):
            units = list(cast("nn.ModuleList", self.branches[level]))
            maps = [unit(shrink(features[k], 2 ** (level - k))) for k, unit in enumerate(units[:level])]
            maps.append(units[level](features[level]))
            for doublings, (unit, x) in enumerate(zip(units[level + 1 :], decoded, strict=True), start=1):
                factor = 2**doublings
                maps.append(cast("Unit", unit).by(x, partial(upsampled_conv, factor=factor), factor ** (x.ndim - 2)))
            decoded.insert(0, self.fuse[level](torch.cat(maps, dim=1)))
        return decoded
