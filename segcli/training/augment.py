"""Random changes that anatomy and scanners allow: flips, small affine moves in the plane, intensity jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Ranges. ``rotation`` degrees, ``scale`` and ``gamma`` as factors e^±x, ``shift`` as a share of the side.

    ``flip_columns`` mirrors left and right on an axial slice. ``channels``: how many channels the image has, each with
    its own jitter; what more channels a network sees are neighbouring slices, which jitter alike. There are
    ``context_slices`` of them on each side, in either order, since predict does not turn a stack upside down; for a
    share ``context_drop`` of the crops the slice itself stands for them, as predict does where they are too far away.
    """

    flip_columns: bool = True
    flip_rows: bool = False
    flip_slices: bool = False
    rotation: float = 15.0
    scale: float = 0.2
    shift: float = 0.12
    gain: float = 0.3
    offset: float = 0.4
    gamma: float = 0.3
    noise: float = 0.1
    channels: int = 1
    context_slices: int = 0
    context_drop: float = 0.15

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``[B, C, *spatial]`` float and ``[B, *spatial]`` integer, moved alike; what enters is mirrored in.

        The slices of a 3-D crop move together, in their plane.
        """
        if self.context_slices:
            images = self._other_neighbours(images, generator)
        # a grid moves all channels alike, and here slices are nothing else
        planes = images.flatten(1, -3)
        grid = self._grid(planes, generator)
        options = {"padding_mode": "reflection", "align_corners": False}
        moved = functional.grid_sample(planes, grid, mode="bilinear", **options)  # type: ignore[arg-type]
        drawn = labels.float().reshape(len(labels), -1, *labels.shape[-2:])
        drawn = functional.grid_sample(drawn, grid, mode="nearest", **options)  # type: ignore[arg-type]
        moved, drawn = moved.reshape(images.shape), drawn.reshape(labels.shape).long()
        if self.flip_slices and images.ndim == 5:
            turned = torch.randint(0, 2, (len(images),), generator=generator).bool()
            moved[turned], drawn[turned] = moved[turned].flip(2), drawn[turned].flip(1)
        return self._jitter(moved, generator), drawn

    def _other_neighbours(self, images: Tensor, generator: torch.Generator) -> Tensor:
        slices = 2 * self.context_slices + 1
        stacks = images.reshape(len(images), slices, self.channels, *images.shape[2:]).clone()
        turned = torch.randint(0, 2, (len(images),), generator=generator).bool()
        alone = torch.rand(len(images), generator=generator) < self.context_drop
        stacks[turned] = stacks[turned].flip(1)
        stacks[alone] = stacks[alone][:, self.context_slices, None].expand(-1, slices, *stacks.shape[2:])
        return stacks.reshape(images.shape)

    def _grid(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, (rows, columns) = len(images), images.shape[2:]
        angle, scale, down, right = (2 * torch.rand(4, count, generator=generator) - 1) * torch.tensor(
            [math.radians(self.rotation), self.scale, self.shift, self.shift]
        )[:, None]
        scale = scale.exp()
        mirror = self._signs(count, self.flip_columns, generator)
        upset = self._signs(count, self.flip_rows, generator)
        # affine_grid works in coordinates of -1..1 on both axes: a rotation of a non-square plane needs the ratio
        ratio = rows / columns
        theta = torch.stack(
            [
                torch.stack([scale * angle.cos() * mirror, -scale * angle.sin() * ratio * upset, right], dim=1),
                torch.stack([scale * angle.sin() / ratio * mirror, scale * angle.cos() * upset, down], dim=1),
            ],
            dim=1,
        )
        return functional.affine_grid(theta, list(images.shape), align_corners=False)

    @staticmethod
    def _signs(count: int, flips: bool, generator: torch.Generator) -> Tensor:
        return torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1 if flips else torch.ones(count)

    def _jitter(self, images: Tensor, generator: torch.Generator) -> Tensor:
        # [B, slices of context, channel, pixel]
        values = images.reshape(len(images), -1, self.channels, images[0, 0].numel())
        gain, offset, gamma, noise = (
            (2 * torch.rand(4, len(values), self.channels, generator=generator) - 1)
            * torch.tensor([self.gain, self.offset, self.gamma, self.noise])[:, None, None]
        )[:, :, None, :, None]
        low, high = values.amin(dim=(1, 3), keepdim=True), values.amax(dim=(1, 3), keepdim=True)
        span = (high - low).clamp_min(1e-6)
        values = ((values - low) / span).clamp_min(0) ** gamma.exp() * span + low
        values = values * gain.exp() + offset
        jittered: Tensor = values + noise.abs() * torch.randn(values.shape, generator=generator)
        return jittered.reshape(images.shape)
