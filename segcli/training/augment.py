"""Random changes that anatomy and scanners allow: left-right flips, small affine moves, intensity jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Ranges. ``rotation`` degrees, ``scale`` and ``gamma`` as factors e^±x, ``shift`` as a share of the side."""

    flip_columns: bool = True
    rotation: float = 15.0
    scale: float = 0.2
    shift: float = 0.12
    gain: float = 0.3
    offset: float = 0.4
    gamma: float = 0.3
    noise: float = 0.1

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``[B, C, row, column]`` float and ``[B, row, column]`` integer, moved alike; what enters is mirrored in."""
        grid = self._grid(images, generator)
        options = {"padding_mode": "reflection", "align_corners": False}
        moved = functional.grid_sample(images, grid, mode="bilinear", **options)  # type: ignore[arg-type]
        drawn = functional.grid_sample(labels[:, None].float(), grid, mode="nearest", **options)  # type: ignore[arg-type]
        return self._jitter(moved, generator), drawn[:, 0].long()

    def _grid(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, (rows, columns) = len(images), images.shape[2:]
        angle, scale, down, right = (2 * torch.rand(4, count, generator=generator) - 1) * torch.tensor(
            [math.radians(self.rotation), self.scale, self.shift, self.shift]
        )[:, None]
        scale = scale.exp()
        mirror = torch.ones(count)
        if self.flip_columns:
            mirror = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1
        # affine_grid works in coordinates of -1..1 on both axes: a rotation of a non-square plane needs the ratio
        ratio = rows / columns
        theta = torch.stack(
            [
                torch.stack([scale * angle.cos() * mirror, -scale * angle.sin() * ratio, right], dim=1),
                torch.stack([scale * angle.sin() / ratio * mirror, scale * angle.cos(), down], dim=1),
            ],
            dim=1,
        )
        return functional.affine_grid(theta, list(images.shape), align_corners=False)

    def _jitter(self, images: Tensor, generator: torch.Generator) -> Tensor:
        gain, offset, gamma, noise = (
            (2 * torch.rand(4, len(images), generator=generator) - 1)
            * torch.tensor([self.gain, self.offset, self.gamma, self.noise])[:, None]
        )[..., None, None, None]
        low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
        span = (high - low).clamp_min(1e-6)
        images = ((images - low) / span).clamp_min(0) ** gamma.exp() * span + low
        images = images * gain.exp() + offset
        jittered: Tensor = images + noise.abs() * torch.randn(images.shape, generator=generator)
        return jittered
