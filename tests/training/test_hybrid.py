"""The parts of the UNet 3+ paper's loss against hand-computed values and another implementation."""

from __future__ import annotations

import importlib
import math

import pytest
import pytorch_msssim
import torch

from segcli.training.hybrid import SCALES, focal_loss, hybrid_loss, iou_loss, ms_ssim


def noisy(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    one = torch.rand(shape, generator=generator)
    return one, (one + 0.3 * torch.rand(shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("shape", [(2, 3, 176, 181), (1, 1, 161, 161)])
def test_ms_ssim_of_large_images_is_the_textbooks(shape: tuple[int, ...]) -> None:
    one, other = noisy(*shape)
    assert ms_ssim(one, other).item() == pytest.approx(
        pytorch_msssim.ms_ssim(one, other, data_range=1.0).item(), abs=1e-6
    )


def test_one_scale_is_plain_ssim() -> None:
    one, other = noisy(2, 1, 16, 20)
    assert ms_ssim(one, other).item() == pytest.approx(pytorch_msssim.ssim(one, other, data_range=1.0).item(), abs=1e-6)


def test_smaller_crops_take_fewer_scales_whose_weights_sum_to_1() -> None:
    one, other = noisy(1, 1, 64, 64)
    parts = importlib.import_module("pytorch_msssim.ssim")  # refuses such sizes as a whole
    weights = [weight / sum(SCALES[:3]) for weight in SCALES[:3]]
    terms, scale = [], (one, other)
    for index in range(3):
        kernel = parts._fspecial_gauss_1d(11, 1.5).repeat(1, 1, 1, 1)
        similarity, contrast = parts._ssim(*scale, data_range=1.0, win=kernel, size_average=False)
        terms.append(similarity if index == 2 else contrast)
        scale = tuple(torch.nn.functional.avg_pool2d(each, 2) for each in scale)
    expected = math.prod(term.item() ** weight for term, weight in zip(terms, weights, strict=True))
    assert ms_ssim(one, other).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 7, 9), (1, 2, 8, 16, 16)])
def test_equal_images_are_alike_at_any_size(shape: tuple[int, ...]) -> None:
    one, _ = noisy(*shape)
    assert ms_ssim(one, one).item() == pytest.approx(1.0)


def test_focal_loss_of_one_pixel_by_hand() -> None:
    loss = focal_loss(torch.tensor([[[0.8]]]), torch.tensor([[[1.0]]]))
    assert loss.item() == pytest.approx(-(0.2**2) * math.log(0.8))


def test_iou_loss_of_a_4_by_4_by_hand() -> None:
    targets = torch.zeros(1, 1, 4, 4)
    targets[..., :2, :2] = 1
    assert iou_loss(torch.full((1, 1, 4, 4), 0.5), targets).item() == pytest.approx(1 - 2 / (8 + 4 - 2), abs=1e-5)


def test_an_empty_target_gives_finite_losses_and_gradients() -> None:
    probabilities = torch.rand(2, 1, 32, 32, requires_grad=True)
    loss = hybrid_loss(probabilities, torch.zeros(2, 1, 32, 32))
    loss.backward()
    assert loss.isfinite()
    assert probabilities.grad is not None
    assert probabilities.grad.isfinite().all()


def test_a_perfect_prediction_costs_nothing() -> None:
    targets = (torch.rand(1, 2, 32, 32) > 0.5).float()
    assert hybrid_loss(targets, targets).item() == pytest.approx(0, abs=1e-4)
