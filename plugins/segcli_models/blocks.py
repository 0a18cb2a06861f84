"""The building blocks all three networks share, for 2-D and 3-D alike.

Tensors are ``[batch, channel, row, column]`` or ``[batch, channel, slice, row, column]``, float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


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


Convolve = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""``(x, weight, bias)`` → the convolution, however it is computed."""


class Unit(nn.Sequential):
    """Convolution → normalisation, if any → ReLU.

    Inference on a CPU takes a batch normalisation into the weights of the convolution before it, where these are
    smaller than its map: the same function, and one pass less over the map. It is done anew for each batch, so that
    nothing has to be remembered when weights change.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, *spatial]`` → ``[B, K, *spatial]``."""
        return self.by(x, self._plain)

    def by(self, x: Tensor, convolve: Convolve, larger: int = 1) -> Tensor:
        """The unit with its convolution computed by ``convolve``, whose result has ``larger`` times the pixels of x."""
        weight, bias, layers = self._folded() if self._folds(x, larger) else self._as_they_are()
        x = convolve(x, weight, bias)
        for layer in layers:
            x = layer(x)
        return x

    def _plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = functional.conv2d if x.ndim == 4 else functional.conv3d
        padding = cast("tuple[int, ...]", self[0].padding)
        return convolve(x, weight, bias, padding=padding)

    def _folds(self, x: Tensor, larger: int) -> bool:
        inference = x.device.type == "cpu" and not torch.is_grad_enabled()
        exporting = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined, no-untyped-call]
        if not inference or exporting or not isinstance(self[1], BATCH_NORMS) or self[1].training:
            return False
        a_kernel = cast("Tensor", self[0].weight)[0].numel()
        return a_kernel < larger * x.numel() // x.shape[1]

    def _as_they_are(self) -> tuple[Tensor, Tensor | None, list[nn.Module]]:
        convolution, *layers = self
        return cast("Tensor", convolution.weight), cast("Tensor | None", convolution.bias), layers

    def _folded(self) -> tuple[Tensor, Tensor | None, list[nn.Module]]:
        weight, bias, (norm, *layers) = self._as_they_are()
        assert isinstance(norm, BATCH_NORMS) and norm.running_mean is not None and norm.running_var is not None  # noqa: S101
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        shift = shift if bias is None else shift + bias * scale
        return weight * scale.view(-1, *[1] * (weight.ndim - 1)), shift, layers


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

    def unit(self, inputs: int, outputs: int) -> Unit:
        """conv 3×3 → norm → ReLU."""
        layers = [self.conv(inputs, outputs), *self._norm(outputs), nn.ReLU(inplace=True)]
        return Unit(*layers)

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
