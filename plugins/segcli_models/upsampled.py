"""A convolution 3×3 (3-D: 3×3×3) of an upsampled map, without ever building the upsampled map.

Linear upsampling and convolution are both linear, and upsampling acts on every axis alone. So the convolution can mix
channels on the small map first (one product per tap), and the taps of one axis are then spread and summed by one
matrix ``[fine, coarse · tap]`` per axis. The result is the same up to rounding. For UNet 3+, whose decoder enlarges
5·base and 16·base channels to base channels, it takes a fraction of the arithmetic and of the memory.

The matrix is zero outside a band three coarse pixels wide, so on a CPU it is multiplied block by block.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from segcli_models.blocks import enlarge

TAPS = 3
MOST_COARSE = 48
"""Longest coarse side, in pixels, for which whole matrices are faster than upsampling (measured, AVX2)."""
BLOCK = 8
"""Coarse pixels a block of the banded product: 4 to 16 are alike, longer ones multiply more zeros (measured, AVX2)."""


def upsampled_conv(x: Tensor, weight: Tensor, bias: Tensor | None, factor: int) -> Tensor:
    """``conv(enlarge(x, factor))`` with zero padding 1 and a kernel of 3: ``[B, C, *coarse]`` → ``[B, K, *fine]``.

    ``weight``: ``[K, C, 3, 3]`` or ``[K, C, 3, 3, 3]``. ``x`` and the result are float.
    """
    # cutting blocks out of a map is dear in the backward pass, and many small products are dear to start on a GPU
    blockwise = x.device.type == "cpu" and not torch.is_grad_enabled()
    # an export must serve other sizes than the one it was made with, and the blocks are cut for one
    exporting = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined, no-untyped-call]
    if exporting or (not blockwise and max(x.shape[2:]) > MOST_COARSE):
        convolve = functional.conv2d if x.ndim == 4 else functional.conv3d
        return convolve(enlarge(x, factor), weight, bias, padding=1)
    outputs = weight.shape[0]
    dims = x.ndim - 2
    # [C, *taps, K]: the last axis first, since it is spread first
    taps = weight.permute(1, *range(weight.ndim - 1, 1, -1), 0).flatten(1)
    y = torch.matmul(x.movedim(1, -1), taps)  # [B, *coarse, taps · K]
    for axis in range(dims, 0, -1):
        coarse = x.shape[axis + 1]
        rest = TAPS ** (axis - 1) * outputs  # what the taps of the axes still to come hold
        done = [side * factor for side in x.shape[axis + 2 :]]
        # y: [B, *coarse before, coarse, *done, tap, rest] → spread over (coarse, tap)
        y = y.reshape(x.shape[:1].numel() * x.shape[2 : axis + 1].numel(), coarse, -1, TAPS, rest).transpose(2, 3)
        spread = _blocks if blockwise else _whole
        parts = spread(coarse, factor, x.device, y.dtype)
        spreads = [torch.matmul(m, y[:, a:b].reshape(len(y), m.shape[1], -1)) for a, b, m in parts]
        y = torch.cat(spreads, dim=1) if len(spreads) > 1 else spreads[0]
        y = y.reshape(x.shape[0], *x.shape[2 : axis + 1], coarse * factor, *done, rest)
    if bias is not None:
        y += bias
    return y.movedim(-1, 1)


@lru_cache(maxsize=64)
def _whole(coarse: int, factor: int, device: torch.device, dtype: torch.dtype) -> list[tuple[int, int, Tensor]]:
    return [(0, coarse, _spread(coarse, factor, device, dtype))]


@lru_cache(maxsize=64)
def _blocks(coarse: int, factor: int, device: torch.device, dtype: torch.dtype) -> list[tuple[int, int, Tensor]]:
    """Rows of :func:`_spread`, a block at a time: (first, stop, matrix) over the coarse pixels the block looks at."""
    spread = _spread(coarse, factor, device, dtype)
    parts = []
    for start in range(0, coarse, BLOCK):
        stop = min(start + BLOCK, coarse)
        first, last = max(0, start - 1), min(coarse, stop + 1)
        rows = spread[start * factor : stop * factor, first * TAPS : last * TAPS]
        parts.append((first, last, rows.contiguous()))
    return parts


def _spread(coarse: int, factor: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[fine, coarse · tap]``: what a coarse pixel adds to a fine one through each tap; beyond the border nothing."""
    with torch.inference_mode(False):  # a cached inference tensor could not serve training later
        unit = torch.eye(coarse, device=device)[None]
        linear = functional.interpolate(unit, scale_factor=float(factor), mode="linear", align_corners=False)[0].T
        padded = functional.pad(linear, (0, 0, 1, 1))
        fine = coarse * factor
        return torch.stack([padded[tap : tap + fine] for tap in range(TAPS)], dim=-1).flatten(1).to(dtype)
