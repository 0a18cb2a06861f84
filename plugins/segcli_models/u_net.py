"""U-Net (Ronneberger, Fischer, Brox 2015, arXiv 1505.04597)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segcli.contract import Features
from segcli_models.blocks import Blocks, Options, Shape, crop_to
from segcli_models.encoder import SegmentationNetwork


class UNet(SegmentationNetwork):
    """Transposed convolutions halve the channels; skips are concatenated (``valid``: cropped to the centre first)."""

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__(shape, options)
        blocks = Blocks(shape.dims, options)
        widths = self.encoder.widths
        self.up = nn.ModuleList(blocks.transposed(2 * width, width) for width in reversed(widths[:-1]))
        self.merge = nn.ModuleList(blocks.double(2 * width, width) for width in reversed(widths[:-1]))
        self.head = blocks.head(widths[0], shape.outputs)

    def supervised(self, features: Features) -> list[Tensor]:
        """One map of logits."""
        x = features[-1]
        for up, merge, skip in zip(self.up, self.merge, reversed(features[:-1]), strict=True):
            x = up(x)
            x = merge(torch.cat([crop_to(skip, x.shape[2:]), x], dim=1))
        return [self.head(x)]
