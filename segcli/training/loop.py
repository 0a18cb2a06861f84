"""The training loop: any network of the contract, AdamW, warm-up and cosine decay, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from segcli.contract import TrainableNetwork
from segcli.engine.device import TYPES
from segcli.errors import SegcliError, UsageError
from segcli.training.augment import Augmentation
from segcli.training.checkpoint import Checkpoints, TrainingState
from segcli.training.dataset import TrainingCase
from segcli.training.losses import DEEP_SUPERVISION, LossKind, Over, presence_loss, segmentation_loss
from segcli.training.sampling import Sampler

Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Recipe:
    """What is recorded in the card as ``training.recipe``. ``crop`` in pixels, in the order of the tile's axes.

    ``similarity``: weight of 1 − MS-SSIM beside the ``dice`` loss. ``supervision``: weights of the supervised maps,
    full resolution first. ``fewest_present``: pixels from which a label counts as present in a crop.
    """

    steps: int
    batch: int = 16
    crop: tuple[int, ...] = (64, 64)
    rate: float = 3e-3
    warm_up: int = 100
    weight_decay: float = 1e-4
    clip: float = 12.0
    average: float = 0.995
    presence_weight: float = 0.3
    fewest_present: int = 5
    empty_share: float = 0.25
    dice_over: Over = "image"
    loss: LossKind = "dice"
    similarity: float = 0.0
    supervision: tuple[float, ...] = DEEP_SUPERVISION
    augment: Augmentation = field(default_factory=Augmentation)
    seed: int = 0


@dataclass(frozen=True)
class Hardware:
    """Where the network computes, and in what (``float32``, ``bfloat16``, ``float16``)."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "float32"


class DivergedError(SegcliError):
    """The loss is no longer a number: going on would only spoil the weights."""


class StoppedError(SegcliError):
    """A signal asked the run to stop; the checkpoint is written."""


def train(
    network: nn.Module,
    cases: Sequence[TrainingCase],
    recipe: Recipe,
    report: Callable[[int, Sequence[float], nn.Module], None],
    *,
    activation: str = "softmax",
    hardware: Hardware | None = None,
    checkpoints: Checkpoints | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> nn.Module:
    """Train ``network`` in place and return the copy with exponentially averaged weights, in eval mode.

    ``report(step, losses, averaged)`` is called after every step with the loss of each step so far, those before a
    resume included. The same seed, threads and machine repeat the run, and so does a run resumed from a checkpoint.
    Raises UsageError, DivergedError, or StoppedError once ``stop()`` is true.
    """
    if not isinstance(network, TrainableNetwork):
        raise TypeError("the network does not offer training_outputs")
    trainer = _Trainer(network, recipe, activation, hardware or Hardware())
    state = trainer.state
    first = 0 if checkpoints is None else checkpoints.load(state)
    for step, (images, labels) in enumerate(_batches(cases, recipe, first), start=first + 1):
        loss = trainer.step(step, images, labels)
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is no longer a number at step {step}: lower --rate, or --precision float32")
        state.losses.append(loss)
        report(step, state.losses, trainer.averaged.module)
        stopping = stop()
        if checkpoints is not None and (step % checkpoints.every == 0 or stopping) and step < recipe.steps:
            checkpoints.save(step, state)
        if stopping:
            raise StoppedError(f"stopped after step {step}: --resume goes on from here")
    return trainer.averaged.module.eval()


class _Trainer:
    """A network and all that changes while it is trained."""

    def __init__(self, network: nn.Module, recipe: Recipe, activation: str, hardware: Hardware) -> None:
        self._recipe, self._activation, self._hardware = recipe, activation, hardware
        self._channels_last = len(recipe.crop) == 2 and hardware.device.type != "mps"
        self._network = network.train().to(hardware.device)
        if self._channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, unused-ignore]
        self.averaged = torch.optim.swa_utils.AveragedModel(
            network, multi_avg_fn=_averaging(recipe.average), use_buffers=True
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
        scaler = torch.amp.GradScaler(hardware.device.type, enabled=hardware.precision == "float16")
        self.state = TrainingState(network, self.averaged, optimizer, scaler, hardware.device)

    def step(self, step: int, images: Tensor, labels: Tensor) -> float:
        """One batch, on the CPU as yet; returns the loss. ``step`` counts from 1."""
        recipe, state, device = self._recipe, self.state, self._hardware.device
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.rate * _rate(step - 1, recipe)
        images, labels = images.to(device), labels.to(device)
        if self._channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        loss = self._loss(images, labels)
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(self._network.parameters(), recipe.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        self.averaged.update_parameters(self._network)
        return float(loss.detach())

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        recipe, precision = self._recipe, self._hardware.precision
        half = precision != "float32"
        with torch.autocast(images.device.type, TYPES[precision] if half else torch.bfloat16, enabled=half):
            maps, presence = cast("TrainableNetwork", self._network).training_outputs(images)
        labels = _centre(labels, maps[0].shape[2:])
        loss = segmentation_loss(
            maps,
            labels,
            over=recipe.dice_over,
            kind=recipe.loss,
            activation=self._activation,
            similarity=recipe.similarity,
            weights=recipe.supervision,
        )
        if presence is not None:
            loss = loss + recipe.presence_weight * presence_loss(presence.float(), labels, recipe.fewest_present)
        return loss


def _averaging(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential averaging that forgets fast at first: in a short run the random first weights would be most of it.

    The n-th update keeps ``min(decay, (1 + n) / (10 + n))`` of the average.
    """

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        updates = int(count)
        kept = min(decay, (1 + updates) / (10 + updates))
        torch.optim.swa_utils.get_ema_multi_avg_fn(kept)(averaged, current, count)  # type: ignore[no-untyped-call]

    return update


def _rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _batches(cases: Sequence[TrainingCase], recipe: Recipe, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented batches ``[B, C, *crop]`` and ``[B, *crop]`` of the steps after ``first`` up to ``recipe.steps``.

    Every step draws from a generator of its own, so a resumed run sees the batches an undisturbed one would have seen.
    """
    sampler = Sampler(cases, recipe.crop)
    if recipe.batch < 1:
        raise UsageError("a batch holds at least one crop")
    blanks = round(recipe.batch * recipe.empty_share)
    for step in range(first, recipe.steps):
        draw = np.random.default_rng([recipe.seed, step])
        generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
        images, labels = sampler.draw(recipe.batch, blanks, draw)
        yield recipe.augment(images, labels, generator)


def _centre(labels: Tensor, size: Sequence[int]) -> Tensor:
    """What of the labels a network that loses a margin says something about."""
    for axis, want in enumerate(size, start=1):
        labels = labels.narrow(axis, (labels.shape[axis] - want) // 2, want)
    return labels
