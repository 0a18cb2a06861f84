from collections import Counter

import pytest
import torch

from segcli.training.augment import Augmentation

STILL = {"gain": 0.0, "offset": 0.0, "gamma": 0.0, "noise": 0.0}


def discs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that hold their own labels (as float), one off-centre disc each."""
    row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    labels = (((row - 20) ** 2 + (column - 40) ** 2) < 100).long().expand(count, 64, 64)
    return labels[:, None].float(), labels


def test_image_and_mask_move_together() -> None:
    images, labels = discs(16)
    moved, drawn = Augmentation(**STILL)(images, labels, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert drawn.shape == labels.shape
    # linear and nearest sampling can differ only in the ring of pixels between inside and outside
    assert ((moved[:, 0] > 0.5) == (drawn == 1)).float().mean() > 0.995
    assert (drawn != labels).any()


def test_without_ranges_only_flips_are_left() -> None:
    images, labels = discs(32)
    rigid = Augmentation(rotation=0, scale=0, shift=0, **STILL)
    moved, drawn = rigid(images, labels, torch.Generator().manual_seed(0))
    flipped = torch.tensor([not torch.equal(mask, labels[0]) for mask in drawn])
    assert 4 < flipped.sum() < 28
    torch.testing.assert_close(moved[flipped], images[flipped].flip(-1), atol=1e-3, rtol=0)
    assert torch.equal(drawn[flipped], labels[flipped].flip(-1))


def test_a_seed_repeats() -> None:
    images, labels = discs(4)
    first, again = (Augmentation()(images, labels, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_constant_image_stays_finite(value: float) -> None:
    images = torch.full((4, 1, 32, 32), value)
    labels = torch.zeros(4, 32, 32, dtype=torch.long)
    moved, _ = Augmentation()(images, labels, torch.Generator().manual_seed(0))
    assert moved.isfinite().all()


def test_rows_are_flipped_only_if_asked_for() -> None:
    images, labels = discs(32)
    turned = Augmentation(flip_columns=False, flip_rows=True, rotation=0, scale=0, shift=0, **STILL)
    moved, drawn = turned(images, labels, torch.Generator().manual_seed(0))
    flipped = torch.tensor([not torch.equal(mask, labels[0]) for mask in drawn])
    assert 4 < flipped.sum() < 28
    torch.testing.assert_close(moved[flipped], images[flipped].flip(-2), atol=1e-3, rtol=0)
    assert torch.equal(drawn[flipped], labels[flipped].flip(-2))


def test_the_slices_of_a_3d_crop_move_together() -> None:
    images, labels = discs(16)
    volume, mask = images[:, :, None].repeat(1, 1, 3, 1, 1), labels[:, None].repeat(1, 3, 1, 1)
    volume[:, :, 2] = mask[:, 2] = 0
    moved, drawn = Augmentation(flip_slices=True, **STILL)(volume, mask, torch.Generator().manual_seed(0))
    assert moved.shape == volume.shape
    assert drawn.shape == mask.shape
    last_is_empty = ~drawn[:, 2].flatten(1).any(dim=1)
    assert 2 < last_is_empty.sum() < 14
    assert torch.equal(last_is_empty, moved[:, 0, 2].flatten(1).amax(dim=1) < 0.01)
    assert torch.equal(drawn[:, 1], torch.where(last_is_empty[:, None, None], drawn[:, 0], drawn[:, 2]))


def test_channels_jitter_by_themselves_and_neighbouring_slices_alike() -> None:
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(1, 4, 1, 1)
    labels = torch.zeros(2, 8, 8, dtype=torch.long)
    rigid = Augmentation(rotation=0, scale=0, shift=0, flip_columns=False, noise=0, channels=2)
    moved, _ = rigid(images, labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved[:, :2], moved[:, 2:])  # two channels of one slice, then of the next
    assert not torch.allclose(moved[:, 0], moved[:, 1])


def test_neighbouring_slices_come_in_either_order_or_not_at_all():
    """Slices 1, 2, 3 of the channels 10 and 20: 11 is channel 10 of slice 1."""
    stack = torch.tensor([11.0, 21.0, 12.0, 22.0, 13.0, 23.0]).reshape(1, 6, 1, 1).expand(400, -1, 8, 8)
    labels = torch.zeros(400, 8, 8, dtype=torch.long)
    rigid = Augmentation(
        rotation=0, scale=0, shift=0, flip_columns=False, channels=2, context_slices=1, context_drop=0.25, **STILL
    )
    moved, _ = rigid(stack, labels, torch.Generator().manual_seed(0))
    seen = Counter(tuple(values) for values in moved[:, :, 4, 4].round().int().tolist())
    up, down, alone = (11, 21, 12, 22, 13, 23), (13, 23, 12, 22, 11, 21), (12, 22) * 3
    assert set(seen) == {up, down, alone}
    assert 70 < seen[alone] < 130
    assert 110 < seen[up] < 190
