from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segcli.errors import UsageError
from segcli.training.checkpoint import Checkpoints, first_difference
from segcli.training.dataset import TrainingCase
from segcli.training.loop import DivergedError, Recipe, StoppedError, train
from segcli_models.blocks import Options, Shape
from segcli_models.u_net import UNet
from segcli_models.u_net_3_plus import UNet3Plus

RECIPE = Recipe(steps=50, batch=8, crop=(16, 16), warm_up=5, rate=1e-2, average=0.9)
SHORT = Recipe(steps=4, batch=4, crop=(16, 16))


def bright_squares() -> list[TrainingCase]:
    """One case of 12 slices; the object is simply bright, every fourth slice is empty."""
    draw = np.random.default_rng(0)
    labels = np.zeros((12, 16, 16), np.uint8)
    for index, plane in enumerate(labels):
        if index % 4:
            row, column = draw.integers(1, 8, 2)
            plane[row : row + 6, column : column + 6] = 1
    image = (labels * 2.0 + draw.normal(0, 0.2, labels.shape)).astype(np.float32)
    return [TrainingCase("a", "1", image[:, None], labels)]


def fresh(base: int = 4, outputs: int = 2) -> UNet:
    torch.manual_seed(0)
    return UNet(Shape(2, 1, outputs, 1, "softmax"), Options(base=base, presence=True))


def run(recipe: Recipe, checkpoints: Checkpoints | None = None) -> tuple[list[float], nn.Module]:
    losses: list[float] = []
    averaged = train(
        fresh(), bright_squares(), recipe, lambda step, found, _: losses.append(found[-1]), checkpoints=checkpoints
    )
    return losses, averaged


def same(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_few_steps_learn_bright_squares() -> None:
    losses, averaged = run(RECIPE)
    assert len(losses) == RECIPE.steps
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert not averaged.training


def test_the_averaged_weights_of_a_short_run_have_left_the_random_ones_behind() -> None:
    # at the decay of long runs 60 steps would leave three quarters of the first weights in the average
    _, averaged = run(replace(RECIPE, steps=60, average=0.995))
    (case,) = bright_squares()
    with torch.inference_mode():
        found = averaged(torch.from_numpy(case.units)).argmax(1).numpy() == 1
    overlap = 2 * (found & (case.labels == 1)).sum() / (found.sum() + (case.labels == 1).sum())
    assert overlap > 0.8


def test_the_average_is_the_one_written_down() -> None:
    network, seen = fresh(), []
    train(network, bright_squares(), SHORT, lambda *_: seen.append(network.get_parameter("head.bias").detach().clone()))
    expected = seen[0]
    for update, weights in enumerate(seen[1:], start=1):
        kept = min(SHORT.average, (1 + update) / (10 + update))
        expected = kept * expected + (1 - kept) * weights
    averaged = run(SHORT)[1].get_parameter("head.bias")
    torch.testing.assert_close(averaged.detach(), expected)


def test_the_same_seed_repeats_the_run() -> None:
    first, again = run(SHORT), run(SHORT)
    assert first[0] == again[0]
    assert same(first[1], again[1])
    assert run(replace(SHORT, seed=1))[0] != first[0]


@pytest.mark.parametrize("at", [1, 3])
def test_a_stopped_run_goes_on_to_the_very_same_weights(tmp_path: Path, at: int) -> None:
    undisturbed = run(replace(SHORT, steps=6))
    begun = Checkpoints(tmp_path, every=100, plan={"seed": 0})
    losses: list[float] = []
    with pytest.raises(StoppedError, match=f"step {at}"):
        train(
            fresh(), bright_squares(), replace(SHORT, steps=6), lambda step, found, _: losses.append(found[-1]),
            checkpoints=begun, stop=lambda: len(losses) == at,
        )  # fmt: skip
    torch.manual_seed(99)  # another state of the generator, other weights: all must come from the checkpoint
    rest, averaged = run(replace(SHORT, steps=6), replace(begun, resume=True))
    assert losses + rest == undisturbed[0]
    assert same(averaged, undisturbed[1])


def test_a_checkpoint_is_of_one_plan_and_whole(tmp_path: Path) -> None:
    begun = Checkpoints(tmp_path, every=2, plan={"recipe": {"rate": 0.1}})
    run(SHORT, begun)
    with pytest.raises(UsageError, match=r"another recipe\.rate"):
        run(SHORT, replace(begun, plan={"recipe": {"rate": 0.2}}, resume=True))
    (tensors,) = tmp_path.glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(UsageError, match="damaged"):
        run(SHORT, replace(begun, resume=True))
    begun.remove()
    assert not tmp_path.exists()


def test_the_first_difference_is_named() -> None:
    assert first_difference({"a": {"b": [1]}, "c": 1}, {"a": {"b": [2]}, "c": 2}) == "a.b"
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == "b"
    assert first_difference({"a": 1}, {"a": 1}) is None


def test_every_supervised_map_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = UNet3Plus(Shape(2, 1, 2, 1, "softmax"), Options(base=2, presence=True, deep_supervision=True))
    before = {name: value.clone() for name, value in network.named_parameters()}
    train(network, bright_squares(), replace(SHORT, steps=2), lambda *_: None)
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert not [name for name in still if "bias" not in name]


def test_3d_stacks_are_trained_on() -> None:
    labels = np.zeros((1, 16, 16, 16), np.uint8)
    labels[0, 4:9, 4:9, 4:9] = 1
    case = TrainingCase("a", "1", labels[:, None].astype(np.float32), labels)
    torch.manual_seed(0)
    network = UNet(Shape(3, 1, 2, 1, "softmax"), Options(base=2, presence=True))
    losses: list[float] = []
    recipe = replace(SHORT, steps=12, batch=2, crop=(16, 16, 16), rate=1e-2, warm_up=1)
    train(network, [case], recipe, lambda step, found, _: losses.append(found[-1]))
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("recipe", [replace(SHORT, loss="hybrid"), replace(SHORT, similarity=0.5)])
def test_other_losses_train_too(recipe: Recipe) -> None:
    losses, _ = run(recipe)
    assert all(np.isfinite(losses))
    assert losses != run(SHORT)[0]


def test_a_sigmoid_network_learns_each_label_by_itself() -> None:
    torch.manual_seed(2)
    network = UNet(Shape(2, 1, 1, 1, "sigmoid"), Options(base=4, presence=True))
    losses: list[float] = []
    train(network, bright_squares(), RECIPE, lambda step, found, _: losses.append(found[-1]), activation="sigmoid")
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    case = bright_squares()[0]
    broken = replace(case, units=np.full_like(case.units, np.inf))
    with pytest.raises(DivergedError, match="step 1"):
        train(fresh(), [broken], SHORT, lambda *_: None)


def test_a_network_without_training_outputs_is_refused() -> None:
    with pytest.raises(TypeError, match="training_outputs"):
        train(nn.Conv2d(1, 1, 1), bright_squares(), RECIPE, lambda *_: None)
