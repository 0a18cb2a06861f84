import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.training.dataset import TrainingCase
from segcli.training.sampling import Sampler


def case(labels: np.ndarray) -> TrainingCase:
    """Images that hold their own labels."""
    return TrainingCase("a", "a", labels[:, None].astype(np.float32), labels)


def one_pixel(shape: tuple[int, ...], *at: int) -> np.ndarray:
    labels = np.zeros((1, *shape), np.uint8)
    labels[(0, *at)] = 1
    return labels


def test_blanks_come_first_and_are_empty_and_the_others_are_not() -> None:
    labels = np.concatenate([one_pixel((32, 32), 3, 30), np.zeros((2, 32, 32), np.uint8)])
    images, drawn = Sampler([case(labels)], (16, 16)).draw(12, 5, np.random.default_rng(0))
    assert images.shape == (12, 1, 16, 16)
    assert (drawn[:5] == 0).all()
    assert (drawn[5:].flatten(1).sum(dim=1) == 1).all()
    assert (images[:, 0] == drawn).all()


def test_the_labelled_pixel_lies_anywhere_in_the_crop() -> None:
    _, drawn = Sampler([case(one_pixel((64, 64), 30, 30))], (8, 8)).draw(200, 0, np.random.default_rng(0))
    places = {tuple(np.argwhere(crop)[0]) for crop in drawn.numpy()}
    assert {place[0] for place in places} == {place[1] for place in places} == set(range(8))


def test_a_small_label_is_drawn_as_often_as_a_large_one() -> None:
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[0, :, 40:] = 1
    labels[0, 2, 2] = 2
    _, drawn = Sampler([case(labels)], (8, 8)).draw(200, 0, np.random.default_rng(0))
    assert 70 < (drawn == 2).flatten(1).any(dim=1).sum() < 130


def test_an_image_full_of_labels_still_gives_crops() -> None:
    _, drawn = Sampler([case(np.ones((1, 20, 20), np.uint8))], (16, 16)).draw(4, 2, np.random.default_rng(0))
    assert (drawn == 1).all()


def test_3d_crops() -> None:
    images, drawn = Sampler([case(one_pixel((5, 20, 20), 4, 19, 0))], (8, 16, 16)).draw(3, 0, np.random.default_rng(0))
    assert images.shape == (3, 1, 8, 16, 16)
    assert drawn.flatten(1).any(dim=1).all()


def test_nothing_labelled_is_refused() -> None:
    with pytest.raises(UsageError, match="no labelled pixel"):
        Sampler([case(np.zeros((2, 16, 16), np.uint8))], (16, 16))
