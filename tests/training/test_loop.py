import numpy as np
import pytest
import torch
from torch import nn

from segcli.training.dataset import TrainingCase
from segcli.training.loop import Recipe, train
from segcli_models.blocks import Options, Shape
from segcli_models.u_net import UNet

RECIPE = Recipe(steps=60, batch=8, crop=(16, 16), warm_up=5, rate=1e-2, average=0.9)


def bright_squares() -> list[TrainingCase]:
    """One case of 12 slices; the object is simply bright, every fourth slice is empty."""
    draw = np.random.default_rng(0)
    labels = np.zeros((12, 16, 16), np.uint8)
    for index, plane in enumerate(labels):
        if index % 4:
            row, column = draw.integers(1, 8, 2)
            plane[row : row + 6, column : column + 6] = 1
    image = (labels * 2.0 + draw.normal(0, 0.2, labels.shape)).astype(np.float32)
    return [TrainingCase("a", 1, image, labels, 1.0)]


def run(recipe: Recipe) -> tuple[list[float], nn.Module]:
    torch.manual_seed(0)
    network = UNet(Shape(2, 1, 2, 1, "softmax"), Options(base=4, presence=True))
    losses: list[float] = []
    averaged = train(network, bright_squares(), recipe, lambda step, loss, _: losses.append(loss))
    return losses, averaged


def test_a_few_steps_learn_bright_squares() -> None:
    losses, averaged = run(RECIPE)
    assert len(losses) == RECIPE.steps
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert not averaged.training


def test_the_same_seed_repeats_the_run() -> None:
    short = Recipe(steps=4, batch=4, crop=(16, 16))
    first, again = run(short), run(short)
    assert first[0] == again[0]
    for name, value in first[1].state_dict().items():
        assert torch.equal(value, again[1].state_dict()[name]), name


def test_a_network_without_training_outputs_is_refused() -> None:
    with pytest.raises(TypeError, match="training_outputs"):
        train(nn.Conv2d(1, 1, 1), bright_squares(), RECIPE, lambda *_: None)
