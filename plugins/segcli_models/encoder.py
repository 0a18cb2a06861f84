"""The encoder and the presence head that all three networks have in common, and what every network must offer."""

from __future__ import annotations

from torch import Tensor, nn

from segcli.contract import Features
from segcli_models.blocks import Blocks, Options, Shape, shrink

LEVELS = 5
VALID_MARGIN = 92
"""Pixels a network with ``padding: valid`` loses on each side: 572 → 388."""


class Encoder(nn.Module):
    """Five levels of widths ``base · 2^i``, max-pool 2 between them."""

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__()
        blocks = Blocks(shape.dims, options)
        self.widths = [options.base * 2**level for level in range(LEVELS)]
        inputs = [shape.inputs, *self.widths[:-1]]
        self.levels = nn.ModuleList(blocks.double(i, o) for i, o in zip(inputs, self.widths, strict=True))

    def forward(self, x: Tensor) -> Features:
        """``[B, C, *spatial]`` → five feature maps, full resolution first."""
        features: list[Tensor] = []
        for level in self.levels:
            x = level(shrink(features[-1], 2) if features else x)
            features.append(x)
        return tuple(features)


class Presence(nn.Module):
    """The classification-guided module (UNet 3+, arXiv 2004.08790): is label k anywhere in this tile?

    On the deepest feature: dropout, 1×1 convolution, global maximum. Its logits are returned as they are: a
    classifier behind an argmax would never get a gradient.
    """

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__()
        width = options.base * 2 ** (LEVELS - 1)
        self.dropout = nn.Dropout(options.dropout)
        self.classify = Blocks(shape.dims, options).head(width, shape.labels)

    def forward(self, features: Features) -> Tensor:
        """Features of the encoder → logits ``[B, labels]``."""
        logits: Tensor = self.classify(self.dropout(features[-1]))
        return logits.flatten(2).amax(dim=2)


class SegmentationNetwork(nn.Module):
    """Encoder, optional presence head, and a decoder that subclasses add.

    Sides must be multiples of 16 (for valid convolutions: 16·n + 12); the engine pads, a direct call is refused.
    """

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__()
        self.multiple = 2 ** (LEVELS - 1)
        self.offset = 0 if options.padding == "same" else 12
        self.smallest = self.multiple if options.padding == "same" else 2 * VALID_MARGIN + 4
        self.encoder = Encoder(shape, options)
        self.gate = Presence(shape, options) if options.presence else None
        if self.gate is None:
            # Hides the method, so that a network without the head does not satisfy GatedNetwork.
            self.presence = None  # type: ignore[assignment, method-assign]

    def encode(self, x: Tensor) -> Features:
        """``[B, C, *spatial]`` → five feature maps. Raises ValueError naming the multiple for another size."""
        if any(side < self.smallest or (side - self.offset) % self.multiple for side in x.shape[2:]):
            rule = f"{self.offset} more than a multiple" if self.offset else "a multiple"
            raise ValueError(
                f"every side of the input must be {rule} of {self.multiple} and at least {self.smallest}, "
                f"not {' × '.join(str(side) for side in x.shape[2:])}"
            )
        features: Features = self.encoder(x)
        return features

    def presence(self, features: Features) -> Tensor:
        """Features → logits ``[B, labels]``: is label k in this tile?"""
        if self.gate is None:
            raise RuntimeError("this network was built without a presence head")
        logits: Tensor = self.gate(features)
        return logits

    def supervised(self, features: Features) -> list[Tensor]:
        """Every logit map the loss looks at, full size, the one ``decode`` would return first."""
        raise RuntimeError("a network defines its decoder")

    def decode(self, features: Features) -> Tensor:
        """Features of any subset of the batch → logits of that subset."""
        return self.supervised(features)[0]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, *spatial]`` → logits ``[B, K, *(spatial − 2·margin)]``."""
        return self.decode(self.encode(x))

    def training_outputs(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """``[B, C, *spatial]`` → (logit maps, the most refined first; presence logits ``[B, labels]`` or None)."""
        features = self.encode(x)
        return self.supervised(features), None if self.gate is None else self.presence(features)
