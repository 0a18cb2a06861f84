"""The training loop: any network of the contract, AdamW, warm-up and cosine decay, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segcli.contract import TrainableNetwork
from segcli.training.augment import Augmentation
from segcli.training.dataset import TrainingCase, pad_to
from segcli.training.losses import presence_loss, segmentation_loss


@dataclass(frozen=True)
class Recipe:
    """What is recorded in the card as ``training.recipe``. ``crop`` in pixels (rows, columns)."""

    steps: int
    batch: int = 16
    crop: tuple[int, int] = (64, 64)
    rate: float = 3e-3
    warm_up: int = 100
    weight_decay: float = 1e-4
    clip: float = 12.0
    average: float = 0.995
    presence_weight: float = 0.3
    fewest_present: int = 5
    empty_share: float = 0.25
    dice_over: Literal["image", "batch"] = "image"
    seed: int = 0


def train(
    network: nn.Module,
    cases: Sequence[TrainingCase],
    recipe: Recipe,
    report: Callable[[int, float, nn.Module], None],
) -> nn.Module:
    """Train ``network`` in place and return the copy with exponentially averaged weights, in eval mode.

    ``report(step, loss, averaged)`` is called after every step. The same seed, threads and machine repeat the run.
    """
    if not isinstance(network, TrainableNetwork):
        raise TypeError("the network does not offer training_outputs")
    network.train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
    averaged = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, recipe))
    for step, (images, labels) in enumerate(_batches(cases, recipe), start=1):
        maps, presence = network.training_outputs(images.to(memory_format=torch.channels_last))
        loss = segmentation_loss(maps, labels, over=recipe.dice_over)
        if presence is not None:
            loss = loss + recipe.presence_weight * presence_loss(presence, labels, recipe.fewest_present)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        report(step, float(loss.detach()), averaged.module)
    module: nn.Module = averaged.module
    return module.eval()


def _rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _batches(cases: Sequence[TrainingCase], recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """``recipe.steps`` augmented batches ``[B, 1, row, column]`` and ``[B, row, column]``."""
    images, labels = _slices(cases, recipe.crop)
    full = np.flatnonzero(labels.any(axis=(1, 2)))
    empty = np.setdiff1d(np.arange(len(labels)), full)
    draw = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    augment = Augmentation()
    blanks = round(recipe.batch * recipe.empty_share) if len(empty) else 0
    for _ in range(recipe.steps):
        chosen = np.concatenate([draw.choice(empty, blanks), draw.choice(full, recipe.batch - blanks)])
        x = torch.from_numpy(images[chosen])[:, None]
        y = torch.from_numpy(labels[chosen]).long()
        yield augment(x, y, generator)


def _slices(cases: Sequence[TrainingCase], crop: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    images: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.uint8]] = []
    for case in cases:
        for source, collected in ((case.image, images), (case.labels, labels)):
            padded = pad_to(source, crop)
            top, left = ((have - want) // 2 for have, want in zip(padded.shape[1:], crop, strict=True))
            collected.append(padded[:, top : top + crop[0], left : left + crop[1]])
    return np.concatenate(images), np.concatenate(labels)
