"""The building blocks all three networks share, for 2-D and 3-D alike.

Tensors are ``[batch, channel, row, column]`` or ``[batch, channel, slice, row, column]``, float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5


@dataclass(frozen=True)
class Options:
    """What ``card.plugin_options`` may hold, and the values of the papers as far as a small CPU allows.

    ``base``: width of the first level. ``bias``: convolutions keep their bias even before a normalisation, as the
    official codes do. ``dropout``: of the presence head. ``level``: the U-Net++ column used by ``fast``.
    """

    base: int = 16
    norm: Literal["batch", "instance", "none"] = "batch"
    bias: bool = True
    padding: Literal["same", "valid"] = "same"
    presence: bool = False
    dropout: float = 0.5
    deep_supervision: bool = False
    inference: Literal["accurate", "fast"] = "fast"
    level: int = 4

    @staticmethod
    def of(given: Mapping[str, Any], allowed: frozenset[str], defaults: Mapping[str, Any]) -> Options:
        """Defaults overridden by the card's options. Raises ValueError naming an unknown or senseless option."""
        for name in given:
            if name not in allowed:
                raise ValueError(f"unknown plugin option {name!r} (known: {', '.join(sorted(allowed))})")
        options = Options(**{**defaults, **given})
        choices: dict[str, tuple[Any, ...]] = {
            "norm": ("batch", "instance", "none"),
            "padding": ("same", "valid"),
            "inference": ("accurate", "fast"),
            "level": (1, 2, 3, 4),
        }
        for name, values in choices.items():
            if getattr(options, name) not in values:
                raise ValueError(f"plugin option {name!r} must be one of {', '.join(map(str, values))}")
        for name in ("bias", "presence", "deep_supervision"):
            if not isinstance(getattr(options, name), bool):
                raise ValueError(f"plugin option {name!r} must be true or false")
        if not isinstance(options.base, int) or not 1 <= options.base <= 1024:
            raise ValueError("plugin option 'base' must be a whole number from 1 to 1024")
        if not 0 <= options.dropout < 1:
            raise ValueError("plugin option 'dropout' must be at least 0 and less than 1")
        return options


@dataclass(frozen=True)
class Shape:
    """What the card fixes: ``dims`` 2 or 3, channels in, logit channels out, foreground labels, activation."""

    dims: int
    inputs: int
    outputs: int
    labels: int
    activation: str


class Blocks:
    """Makes layers of one dimensionality, normalisation and padding."""

    def __init__(self, dims: int, options: Options) -> None:
        self.dims = dims
        self.options = options

    def conv(self, inputs: int, outputs: int, kernel: int = 3, *, padding: bool | None = None) -> nn.Module:
        """A convolution that keeps the size, unless the network's padding is ``valid``."""
        keep = self.options.padding == "same" if padding is None else padding
        layer = nn.Conv2d if self.dims == 2 else nn.Conv3d
        return layer(inputs, outputs, kernel, padding=kernel // 2 if keep else 0, bias=self.options.bias)

    def head(self, inputs: int, outputs: int, kernel: int = 1) -> nn.Module:
        """A convolution to logits; it always has a bias."""
        layer = nn.Conv2d if self.dims == 2 else nn.Conv3d
        return layer(inputs, outputs, kernel, padding=kernel // 2)

    def unit(self, inputs: int, outputs: int) -> nn.Sequential:
        """conv 3×3 → norm → ReLU."""
        layers = [self.conv(inputs, outputs), *self._norm(outputs), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def double(self, inputs: int, outputs: int) -> nn.Sequential:
        """Two units, the level of an encoder."""
        return nn.Sequential(self.unit(inputs, outputs), self.unit(outputs, outputs))

    def transposed(self, inputs: int, outputs: int) -> nn.Module:
        """Transposed convolution 2×2 with stride 2: twice the size."""
        layer = nn.ConvTranspose2d if self.dims == 2 else nn.ConvTranspose3d
        return layer(inputs, outputs, 2, stride=2)

    def _norm(self, channels: int) -> list[nn.Module]:
        if self.options.norm == "none":
            return []
        if self.options.norm == "batch":
            return [(nn.BatchNorm2d if self.dims == 2 else nn.BatchNorm3d)(channels, eps=EPSILON)]
        return [(nn.InstanceNorm2d if self.dims == 2 else nn.InstanceNorm3d)(channels, eps=EPSILON, affine=True)]


def shrink(x: Tensor, factor: int) -> Tensor:
    """Max-pool by ``factor``, a last incomplete window included."""
    if x.device.type == "cpu" and not torch.is_grad_enabled() and all(side % factor == 0 for side in x.shape[2:]):
        return _halved(x, factor)
    pool = functional.max_pool2d if x.ndim == 4 else functional.max_pool3d
    return pool(x, factor, ceil_mode=True)


def _halved(x: Tensor, factor: int) -> Tensor:
    """Max-pool as maxima of every second row and column: the same numbers without the indices that training needs."""
    while factor > 1:
        for axis in range(2, x.ndim):
            before = (slice(None),) * axis
            x = torch.maximum(x[(*before, slice(0, None, 2))], x[(*before, slice(1, None, 2))])
        factor //= 2
    return x


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear (3-D: trilinear) upsampling by ``factor``, pixel centres as in ``align_corners=False``."""
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return functional.interpolate(x, scale_factor=float(factor), mode=mode, align_corners=False)


def crop_to(x: Tensor, size: torch.Size) -> Tensor:
    """The centre of ``x`` with the spatial size ``size``, as the original U-Net crops its skips."""
    for axis, want in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - want) // 2, want)
    return x
