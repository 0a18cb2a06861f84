"""U-Net++ (Zhou et al. 2018 and 2019, arXiv 1807.10165 and 1912.05074)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from segcli.contract import Features
from segcli_models.blocks import Blocks, Options, Shape, enlarge
from segcli_models.encoder import LEVELS, SegmentationNetwork


class UNetPlusPlus(SegmentationNetwork):
    """Node ``X[i, j]`` sees ``X[i, 0..j-1]`` and the upsampled ``X[i+1, j-1]``; column 0 is the encoder.

    With deep supervision ``X[0, 1..4]`` have a head each: ``accurate`` averages their probabilities, ``fast`` takes
    the one of ``level`` and computes only the nodes it needs. Without, ``X[0, 4]`` has the only head.
    """

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__(shape, options)
        if not options.deep_supervision and (options.level != LEVELS - 1 or options.inference == "accurate"):
            raise ValueError("plugin options 'level' and 'inference' need 'deep_supervision': true")
        blocks = Blocks(shape.dims, options)
        widths = self.encoder.widths
        self.options = options
        self.activation = shape.activation
        self.nodes = nn.ModuleDict(
            {
                f"{i}_{j}": blocks.double(j * widths[i] + widths[i + 1], widths[i])
                for j in range(1, LEVELS)
                for i in range(LEVELS - j)
            }
        )
        self.columns = range(1, LEVELS) if options.deep_supervision else range(LEVELS - 1, LEVELS)
        self.heads = nn.ModuleDict({str(j): blocks.head(widths[0], shape.outputs) for j in self.columns})

    def supervised(self, features: Features) -> list[Tensor]:
        """The logits of every head, the deepest column first."""
        row = self._first_row(features, LEVELS - 1)
        return [self.heads[str(j)](row[j]) for j in reversed(self.columns)]

    def decode(self, features: Features) -> Tensor:
        """Logits of one column (``fast``) or of the mean of all columns' probabilities (``accurate``)."""
        if self.options.inference == "accurate":
            return mean_of_probabilities(self.supervised(features), self.activation)
        level = self.options.level
        logits: Tensor = self.heads[str(level)](self._first_row(features, level)[level])
        return logits

    def _first_row(self, features: Features, level: int) -> list[Tensor]:
        grid = [[feature] for feature in features[: level + 1]]
        for j in range(1, level + 1):
            for i in range(level + 1 - j):
                grid[i].append(self.nodes[f"{i}_{j}"](torch.cat([*grid[i], enlarge(grid[i + 1][j - 1], 2)], dim=1)))
        return grid[0]


def mean_of_probabilities(maps: list[Tensor], activation: str) -> Tensor:
    """Logits ``[B, K, ...]``, float32, whose softmax (or sigmoid) is the mean of those of ``maps``."""
    stacked = torch.stack([logits.float() for logits in maps])
    if activation == "sigmoid":
        inside, outside = functional.logsigmoid(stacked), functional.logsigmoid(-stacked)
        return inside.logsumexp(dim=0) - outside.logsumexp(dim=0)
    return stacked.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(maps))
