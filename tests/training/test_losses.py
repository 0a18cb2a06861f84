import math

import pytest
import torch

from segcli.training.losses import presence_loss, segmentation_loss, soft_dice_loss


def test_soft_dice_of_a_4_by_4_by_hand() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, :2, :2] = 1
    logits = torch.zeros(1, 2, 4, 4)  # probability 1/2 everywhere: overlap 4 · 1/2, sums 16 · 1/2 and 4
    assert soft_dice_loss(logits, labels).item() == pytest.approx(1 - 2 * 2 / (8 + 4), abs=1e-5)


def test_empty_images_do_not_count_in_the_dice_loss() -> None:
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    labels[0, :2, :2] = 1
    assert soft_dice_loss(torch.zeros(2, 2, 4, 4), labels).item() == pytest.approx(2 / 3, abs=1e-5)


def test_over_the_batch_what_is_predicted_on_empty_images_counts() -> None:
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    labels[0, :2, :2] = 1  # overlap 2, sums 8 + 8 and 4
    loss = soft_dice_loss(torch.zeros(2, 2, 4, 4), labels, over="batch")
    assert loss.item() == pytest.approx(1 - 2 * 2 / (16 + 4), abs=1e-5)


def test_losses_are_finite_on_an_empty_target_and_only_presence_and_entropy_pull() -> None:
    labels = torch.zeros(2, 8, 8, dtype=torch.long)
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    assert soft_dice_loss(logits, labels).item() == 0
    loss = segmentation_loss([logits], labels)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_presence_leaves_out_what_the_border_may_have_cut() -> None:
    labels = torch.zeros(3, 4, 4, dtype=torch.long)
    labels[0, 0, :2] = 1  # 2 pixels: neither present nor absent
    labels[1] = 1
    logits = torch.tensor([[9.0], [0.0], [0.0]], requires_grad=True)
    loss = presence_loss(logits, labels, fewest=5)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0.0, -0.25, 0.25])


def test_deep_supervision_weighs_the_first_map_most() -> None:
    labels = torch.randint(0, 2, (1, 4, 4), generator=torch.Generator().manual_seed(0))
    one = segmentation_loss([torch.zeros(1, 2, 4, 4)], labels)
    five = segmentation_loss([torch.zeros(1, 2, 4, 4)] * 5, labels)
    assert (five / one).item() == pytest.approx(2.0)
