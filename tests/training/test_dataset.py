"""Training sees what predict would see, and the labels lie where the pixels lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segcli.contract import Label, ModelCard
from segcli.errors import UsageError
from segcli.geometry import Geometry
from segcli.image import Image
from segcli.training.dataset import class_numbers, pad_to, training_cases
from segcli.training.examples import Example

CARD = ModelCard(
    plugin="unet", name="x", version="1", license="CC0-1.0", spatial_dims=2, channels=("T1",),
    labels=(Label(7, "a", (1, 2, 3)), Label(3, "b", (4, 5, 6))), tile=(16, 16), overlap=(4, 4), margin=(0, 0),
    orientation="LPS", spacing=(1.0, 1.0),
)  # fmt: skip


def example(axes: tuple[tuple[float, ...], ...], spacing: tuple[float, float] = (1.0, 1.0)) -> Example:
    """A stack whose values all differ; its last voxel is labelled 7."""
    pixels = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 1, 5, 6)
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[-1, -1, -1] = 7
    geometry = Geometry(spacing=spacing, slice_spacing=1.0, axes=axes)  # type: ignore[arg-type]
    return Example("c", "g", (Image(pixels, geometry),), (labels,))


LPS = ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))
RAS = ((-1.0, 0, 0), (0, -1.0, 0), (0, 0, 1.0))


def test_units_are_normalised_slices_and_labels_class_numbers() -> None:
    (case,) = training_cases(example(LPS), CARD)
    assert case.units.shape == (4, 1, 5, 6)
    values = np.arange(120, dtype=np.float64)
    np.testing.assert_allclose(case.units.ravel(), (values - values.mean()) / values.std(), rtol=1e-5)
    assert np.argwhere(case.labels).tolist() == [[3, 4, 5]]
    assert case.labels.max() == 1  # the card's first label


def test_another_storage_order_gives_the_same_anatomy() -> None:
    (case,) = training_cases(example(RAS), CARD)
    assert np.argwhere(case.labels).tolist() == [[3, 0, 0]]
    assert case.units[3, 0, 0, 0] == case.units.max()  # the voxel that is labelled, still under its label


def test_labels_follow_the_image_to_the_cards_spacing() -> None:
    (case,) = training_cases(example(LPS, spacing=(2.0, 3.0)), CARD)
    assert case.units.shape == (4, 1, 10, 18)
    assert case.labels.shape == (4, 10, 18)
    assert case.labels.sum() == 2 * 3
    assert case.labels[3, 8:, 15:].all()


def test_a_3d_card_has_one_unit_a_stack() -> None:
    card = replace(CARD, spatial_dims=3, tile=(16, 16, 16), overlap=(4,) * 3, margin=(0,) * 3, spacing=(1.0,) * 3)
    (case,) = training_cases(example(LPS), card)
    assert case.units.shape == (1, 1, 4, 5, 6)
    assert np.argwhere(case.labels).tolist() == [[0, 3, 4, 5]]


def test_neighbouring_slices_are_channels() -> None:
    (case,) = training_cases(example(LPS), replace(CARD, context_slices=1))
    assert case.units.shape == (4, 3, 5, 6)
    np.testing.assert_array_equal(case.units[1, 2], case.units[2, 1])
    np.testing.assert_array_equal(case.units[0, 0], case.units[0, 1])  # the first slice stands for the one before it


def test_a_stack_across_the_model_is_named() -> None:
    coarse = replace(example(((0, 1.0, 0), (0, 0, 1.0), (1.0, 0, 0))), name="oblique")
    part = replace(coarse.parts[0], geometry=replace(coarse.parts[0].geometry, slice_spacing=5.0))
    with pytest.raises(UsageError, match="oblique: the slices lie across"):
        training_cases(replace(coarse, parts=(part,)), CARD)


def test_numbers_no_label_names_are_background() -> None:
    assert class_numbers(np.array([0, 3, 7, 9]), CARD.labels).tolist() == [0, 2, 1, 0]


def test_padding_reflects_repeatedly_and_evenly() -> None:
    assert pad_to(np.array([[0, 1, 2]]), (1, 8))[0].tolist() == [2, 1, 0, 1, 2, 1, 0, 1]
    assert pad_to(np.arange(12).reshape(3, 4), (2, 2)).shape == (3, 4)
    assert pad_to(np.zeros((2, 3, 3, 3)), (4, 5, 6)).shape == (2, 4, 5, 6)
