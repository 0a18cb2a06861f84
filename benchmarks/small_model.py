"""Trains the model the benchmarks run, in a few minutes: ``python benchmarks/small_model.py unet3p OUT``.

A network with a presence head on crops of the benchmarks' own images (images.py). Its gate threshold is half the
least presence of a tile that holds the organ, on images it was not trained on.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from images import slices
from torch import Tensor, nn
from torch.nn import functional

from segcli.contract import Gate, Intensity, Label, ModelCard
from segcli.model_folder import save_model_folder
from segcli_models import unet, unet3p

TILE = 256
CROP = 96
SEEN, UNSEEN = 101, 102
LEAST_PIXELS = 20


def card(plugin: str, base: int) -> ModelCard:
    return ModelCard(
        plugin=plugin,
        name="benchmark",
        version="1",
        license="CC0-1.0",
        spatial_dims=2,
        channels=("MR",),
        labels=(Label(1, "ellipse", (255, 170, 0)),),
        tile=(TILE, TILE),
        overlap=(TILE // 4, TILE // 4),
        margin=(0, 0),
        intensity=Intensity("window", low=0.0, high=4095.0),
        plugin_options={"base": base, "presence": True},
    )


def train(network: nn.Module, steps: int) -> None:
    made = slices(64, 512, 0.5, SEEN)
    draw = np.random.default_rng(SEEN)
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    start = time.monotonic()
    for step in range(1, steps + 1):
        x, y = crops(made.pixels, made.organ, draw, 8)
        (logits, *_), presence = network.training_outputs(x)  # type: ignore[operator]
        there = y.flatten(1).sum(dim=1)
        sure = (there == 0) | (there >= LEAST_PIXELS)
        gate = functional.binary_cross_entropy_with_logits(presence[sure, 0], (there[sure] > 0).float())
        loss = functional.cross_entropy(logits, y, weight=torch.tensor([1.0, 3.0])) + 0.3 * gate
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(
                f"step {step} of {steps}: loss {float(loss.detach()):.3f}, {time.monotonic() - start:.0f} s", flush=True
            )
    network.eval()


def crops(
    pixels: np.ndarray, organ: np.ndarray, draw: np.random.Generator, count: int, size: int = CROP
) -> tuple[Tensor, Tensor]:
    """Half of them around the organ: ``[count, 1, size, size]`` in [0, 1] and ``[count, size, size]``."""
    images, labels = [], []
    for index in range(count):
        filled = organ.any(axis=(1, 2))
        number = int(draw.choice(np.flatnonzero(filled) if index % 2 else np.arange(len(pixels))))
        corner = draw.integers(0, pixels.shape[1] - size + 1, 2)
        if index % 2:
            inside = np.argwhere(organ[number])
            corner = np.clip(draw.permutation(inside)[0] - draw.integers(8, size - 8, 2), 0, pixels.shape[1] - size)
        where = (number, slice(corner[0], corner[0] + size), slice(corner[1], corner[1] + size))
        images.append(pixels[where].astype(np.float32) / 4095)
        labels.append(organ[where].astype(np.int64))
    return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(labels))


def gate(network: nn.Module) -> Gate:
    made = slices(40, 512, 0.5, UNSEEN)
    draw = np.random.default_rng(UNSEEN)
    scores, present = [], []
    for _ in range(20):
        x, y = crops(made.pixels, made.organ, draw, 4, TILE)
        with torch.inference_mode():
            scores += network.presence(network.encode(x)).sigmoid()[:, 0].tolist()  # type: ignore[operator]
        present += (y.flatten(1).sum(dim=1) >= LEAST_PIXELS).tolist()
    positive = [s for s, p in zip(scores, present, strict=True) if p]
    negative = [s for s, p in zip(scores, present, strict=True) if not p]
    tau = min(positive) / 2
    print(f"presence: organ {min(positive):.3f} and more, tissue {max(negative):.3f} and less; threshold {tau:.3f}")
    ranks = np.mean([p > n for p in positive for n in negative])
    away = float(np.mean([s < tau for s in negative]))
    return Gate((tau,), (len(positive),), (20,), (1.0,), (0.0,), (float(ranks),), away)


def make(plugin: str, folder: Path, base: int = 16, steps: int = 80) -> Path:
    """The model folder, trained unless it is there already."""
    if not (folder / "config.json").is_file():
        torch.manual_seed(0)
        made_for = card(plugin, base)
        network = {"unet": unet, "unet3p": unet3p}[plugin].build(made_for)
        train(network, steps)
        finished = dataclasses.replace(made_for, gate=gate(network))
        save_model_folder(folder, finished, network.state_dict())
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugin", choices=["unet", "unet3p"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--steps", type=int, default=80)
    given = parser.parse_args()
    make(given.plugin, given.out, given.base, given.steps)
