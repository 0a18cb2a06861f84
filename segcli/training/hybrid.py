"""The hybrid loss of UNet 3+ (arXiv 2004.08790, section 2.2): focal + (1 − MS-SSIM) + IoU, pixel, patch and map level.

All take probabilities and targets ``[B, labels, *spatial]``, float, 0 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

GAMMA = 2.0
SMOOTHING = 1e-5
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, finest first (Wang, Simoncelli, Bovik 2003)."""
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def hybrid_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The sum of the three. On sets with many empty crops it was seen to slide into predicting background only."""
    return (
        focal_loss(probabilities, targets)
        + ms_ssim_loss(probabilities, targets)
        + iou_loss(probabilities, targets)
    )  # fmt: skip


def focal_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Binary focal loss (Lin et al. 2017) with γ = 2, mean over everything."""
    right = torch.where(targets > 0.5, probabilities, 1 - probabilities).clamp(1e-6, 1)
    return (-((1 - right) ** GAMMA) * right.log()).mean()


def iou_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 − soft intersection over union of each image and label, smoothed, so that 0/0 on an empty one is 1."""
    overlap = (probabilities * targets).flatten(2).sum(dim=2)
    union = (probabilities + targets).flatten(2).sum(dim=2) - overlap
    return 1 - ((overlap + SMOOTHING) / (union + SMOOTHING)).mean()


def ms_ssim_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 − :func:`ms_ssim`."""
    return 1 - ms_ssim(probabilities, targets)


def ms_ssim(one: Tensor, other: Tensor) -> Tensor:
    """Multi-scale structural similarity, mean over images and labels; luminance counts on the last scale only.

    Five scales need sides above 160 pixels. Smaller crops take as many scales as the window of 11 fits, their weights
    made to sum to 1 again; a crop below 11 pixels takes a smaller window.
    """
    side = min(one.shape[2:])
    window = WINDOW if side >= WINDOW else side - (1 - side % 2)
    scales = 1
    while scales < len(SCALES) and (window - 1) * 2**scales < side:
        scales += 1
    weights = torch.tensor(SCALES[:scales], dtype=one.dtype, device=one.device)
    weights = weights / weights.sum() if scales < len(SCALES) else weights
    kernel = _gaussian(window, one)
    parts = []
    for scale in range(scales):
        if scale:
            one, other = _halved(one), _halved(other)
        similarity, contrast = _ssim(one, other, kernel)
        parts.append((similarity if scale == scales - 1 else contrast).clamp_min(1e-6))
    stacked = torch.stack(parts)  # [scale, B, labels]
    return (stacked ** weights.reshape(-1, 1, 1)).prod(dim=0).mean()


def _ssim(one: Tensor, other: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Mean structural similarity and its contrast-structure term, both ``[B, labels]``."""
    mean_one, mean_other = _blur(one, kernel), _blur(other, kernel)
    variance_one = _blur(one * one, kernel) - mean_one**2
    variance_other = _blur(other * other, kernel) - mean_other**2
    covariance = _blur(one * other, kernel) - mean_one * mean_other
    contrast = (2 * covariance + C2) / (variance_one + variance_other + C2)
    luminance = (2 * mean_one * mean_other + C1) / (mean_one**2 + mean_other**2 + C1)
    return (luminance * contrast).flatten(2).mean(dim=2), contrast.flatten(2).mean(dim=2)


def _blur(x: Tensor, kernel: Tensor) -> Tensor:
    """A Gaussian along every axis, without padding: the border is lost."""
    channels, dims = x.shape[1], x.ndim - 2
    convolve = functional.conv2d if dims == 2 else functional.conv3d
    for axis in range(dims):
        shape = [1] * dims
        shape[axis] = len(kernel)
        x = convolve(x, kernel.reshape(1, 1, *shape).expand(channels, 1, *shape), groups=channels)
    return x


def _halved(x: Tensor) -> Tensor:
    """Mean of 2×2 (2×2×2) pixels; an odd side is padded with a zero in front, as the textbook's code does."""
    dims = x.ndim - 2
    padding = [side % 2 for side in x.shape[2:]]
    pool = functional.avg_pool2d if dims == 2 else functional.avg_pool3d
    return pool(x, kernel_size=2, padding=padding)


def _gaussian(size: int, like: Tensor) -> Tensor:
    distance = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    curve = (-(distance**2) / (2 * SIGMA**2)).exp()
    return curve / curve.sum()
