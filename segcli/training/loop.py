"""The training loop: any network of the contract, AdamW, warm-up and cosine decay, averaged weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segcli.contract import TrainableNetwork
from segcli.training.augment import Augmentation
from segcli.training.checkpoint import TrainingState
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
    seed: int = 0
    keep_every: int = 100


def train(
    network: nn.Module,
    cases: Sequence[TrainingCase],
    recipe: Recipe,
    report: Callable[[int, float, nn.Module], None],
    checkpoint: Path | None = None,
) -> nn.Module:
    """Train ``network`` in place and return the copy with exponentially averaged weights, in eval mode.

    ``report(step, loss, averaged)`` is called after every step. The same seed, threads and machine repeat the run.
    With ``checkpoint`` (a folder) the state is kept every ``recipe.keep_every`` steps, and a run that finds one goes
    on from there as if it had never stopped: what a step draws depends on the seed and the step's number only.
    Raises TypeError for a network without ``training_outputs``, UsageError for a checkpoint of another recipe.
    """
    if not isinstance(network, TrainableNetwork):
        raise TypeError("the network does not offer training_outputs")
    network.train()
    for parameter in network.parameters():
        if parameter.ndim == 4:  # 3-D networks stay as they are: the CPU has no faster layout for them
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
    averaged = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    state = TrainingState(network, averaged, optimizer)
    first = 1 + (state.load(checkpoint, dataclasses.asdict(recipe)) if checkpoint is not None else 0)
    batches = _Batches(cases, recipe)
    with torch.random.fork_rng(devices=[]):
        for step in range(first, recipe.steps + 1):
            torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * _rate(step - 1, recipe)
            loss = _loss(network, *batches.at(step), recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            averaged.update_parameters(network)
            report(step, float(loss.detach()), averaged.module)
            if checkpoint is not None and (step % recipe.keep_every == 0 or step == recipe.steps):
                state.save(checkpoint, step, dataclasses.asdict(recipe))
    module: nn.Module = averaged.module
    return module.eval()


def _loss(network: TrainableNetwork, images: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    maps, presence = network.training_outputs(images.to(memory_format=torch.channels_last))
    loss = segmentation_loss(maps, labels)
    if presence is not None:
        loss = loss + recipe.presence_weight * presence_loss(presence, labels, recipe.fewest_present)
    return loss


def _rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class _Batches:
    """Augmented batches ``[B, 1, row, column]`` float32 and ``[B, row, column]`` int64, one per step's number."""

    def __init__(self, cases: Sequence[TrainingCase], recipe: Recipe) -> None:
        self.recipe = recipe
        self.images, self.labels = _slices(cases, recipe.crop)
        self.full = np.flatnonzero(self.labels.any(axis=(1, 2)))
        self.empty = np.setdiff1d(np.arange(len(self.labels)), self.full)
        self.blanks = round(recipe.batch * recipe.empty_share) if len(self.empty) else 0
        self.augment = Augmentation()

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of this step, whatever was drawn before."""
        draw = np.random.default_rng([self.recipe.seed, step])
        generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
        full = draw.choice(self.full, self.recipe.batch - self.blanks)
        chosen = np.concatenate([draw.choice(self.empty, self.blanks), full]) if self.blanks else full
        x = torch.from_numpy(self.images[chosen])[:, None]
        return self.augment(x, torch.from_numpy(self.labels[chosen]).long(), generator)


def _slices(cases: Sequence[TrainingCase], crop: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    images: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.uint8]] = []
    for case in cases:
        for source, collected in ((case.image, images), (case.labels, labels)):
            padded = pad_to(source, crop)
            top, left = ((have - want) // 2 for have, want in zip(padded.shape[1:], crop, strict=True))
            collected.append(padded[:, top : top + crop[0], left : left + crop[1]])
    return np.concatenate(images), np.concatenate(labels)
