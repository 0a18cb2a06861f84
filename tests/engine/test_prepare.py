import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.contract import Intensity, Label, ModelCard
from segcli.engine.prepare import prepare
from segcli.errors import UnsupportedError
from segcli.geometry import Geometry
from segcli.image import Image

LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
ORIENTATIONS = [
    "".join(letters) for pairs in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*pairs)
]


def card(**changes):
    values = {
        "plugin": "toy", "name": "toy", "version": "1", "license": "CC0-1.0", "spatial_dims": 2, "channels": ("grey",),
        "labels": (Label(1, "object", (255, 0, 0)),), "tile": (16, 16), "overlap": (4, 4), "margin": (0, 0),
        "intensity": Intensity("none"),
    }  # fmt: skip
    return ModelCard(**{**values, **changes})


def image(orientation, shape=(3, 4, 5), spacing=(1.0, 1.0), slice_spacing=1.0):
    axes = tuple(tuple(float(x) for x in LETTERS[letter]) for letter in orientation)
    pixels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)[:, np.newaxis]
    return Image(pixels, Geometry(spacing, slice_spacing, axes))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_all_48_orientations_reach_the_network_alike_and_come_back(orientation):
    """A voxel's value is its place in LPS space; after turning, the index must say the same."""
    wanted = card(orientation="LPS", spacing=(1.0, 1.0))
    geometry = image(orientation).geometry
    shape = (3, 4, 5)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))  # slice, row, column
    steps = np.array(geometry.axes)[::-1]  # directions of slice, row, column
    world = np.tensordot(steps.T, index, axes=1)  # x, y, z of every voxel
    prepared = [prepare(Image(np.ascontiguousarray(w)[:, None], geometry), wanted, None) for w in world]
    x, y, z = (p.source.pixels[:, 0] for p in prepared)
    assert (np.diff(x, axis=2) == 1).all()
    assert (np.diff(y, axis=1) == 1).all()
    assert (np.abs(np.diff(z, axis=0)) == 1).all()  # a 2-D network does not care which slice comes first
    for source, p in zip(world, prepared, strict=True):
        assert np.array_equal(p.reorientation.undo(p.source.pixels[:, 0]), source)


@given(st.sampled_from(ORIENTATIONS), st.sampled_from(ORIENTATIONS))
def test_a_three_dimensional_network_meets_every_axis_as_its_card_says(source, wanted):
    """A voxel's value is its place along one direction of space; it grows along the axis of that letter."""
    three = card(spatial_dims=3, tile=(16,) * 3, overlap=(4,) * 3, margin=(0,) * 3, spacing=(1.0,) * 3)
    part = image(source)
    index = np.stack(np.meshgrid(*map(np.arange, (3, 4, 5)), indexing="ij"))
    steps = np.array(part.geometry.axes)[::-1]
    valid = index[0] + index[1] > 1
    for axis, letter in enumerate(wanted[::-1]):
        place = np.tensordot(steps @ LETTERS[letter], index, axes=1)
        prepared = prepare(Image(place[:, np.newaxis], part.geometry, valid), replace(three, orientation=wanted), None)
        assert (np.diff(prepared.source.pixels[:, 0], axis=axis) == 1).all()
        assert np.array_equal(prepared.reorientation.undo(prepared.source.valid), valid)


def test_coarse_slices_are_not_sliced_anew():
    coarse = image("LSP", slice_spacing=5.0)  # coronal, 5 mm apart
    with pytest.raises(UnsupportedError, match="too coarse"):
        prepare(coarse, card(orientation="LPS", spacing=(1.0, 1.0)), None)


def test_only_the_step_between_slices_makes_them_too_coarse():
    """Sagittal, 1 mm apart, with rows 2.5 mm apart: rows stay rows, nothing is cut across them."""
    sagittal = image("PSL", spacing=(2.5, 1.0), slice_spacing=1.0)
    assert prepare(sagittal, card(orientation="LPS", spacing=(1.0, 1.0)), None).is_reoriented


@pytest.mark.parametrize("step", [5000.0, 0.0005], ids=["metres for millimetres", "micrometres"])
def test_a_spacing_of_another_scale_is_another_kind_of_image(step):
    with pytest.raises(UnsupportedError, match="another kind of image, or a wrong unit"):
        prepare(image("LPS", spacing=(step, step)), card(spacing=(1.0, 1.0)), None)


def test_spacing_decides_the_grid():
    assert prepare(image("LPS", spacing=(0.5, 2.0)), card(spacing=(1.0, 1.0)), None).grid == (3, 2, 10)


def test_a_source_without_spacing_says_so_and_the_users_word_counts():
    unknown = Image(np.zeros((1, 1, 4, 4), np.uint8))
    assert "--spacing" in prepare(unknown, card(spacing=(1.0, 1.0)), None).warnings[0]
    stated = prepare(unknown, card(spacing=(1.0, 1.0)), (0.5, 0.5))
    assert stated.grid == (1, 2, 2)
    assert stated.warnings == ()


def test_zscore_leaves_padding_out_of_the_statistics():
    pixels = np.array([[[[1, 3, 1000]]]], np.int16)
    part = Image(pixels, valid=np.array([[[True, True, False]]]))
    values = prepare(part, card(intensity=Intensity("zscore")), None).unit(0)
    assert values[0, 0, :2].tolist() == [-1.0, 1.0]


def test_a_constant_image_is_not_an_error():
    wanted = card(intensity=Intensity("zscore"))
    assert prepare(Image(np.full((1, 1, 3, 3), 7)), wanted, None).unit(0).unique().tolist() == [0.0]


def test_window_is_clipped_to_0_1():
    wanted = card(intensity=Intensity("window", low=0, high=10))
    part = Image(np.array([[[[-5, 5, 20]]]], np.int16))
    assert prepare(part, wanted, None).unit(0).flatten().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("step", "neighbours"),
    [
        (3.0, [3, 4, 5, 6, 7]),  # as trained
        (1.0, [0, 2, 5, 8, 9]),  # three thin slices for one thick, beyond the stack the last one
        (2.0, [2, 3, 5, 7, 8]),  # 1.5 and 3 slices away
        (4.4, [4, 4, 5, 6, 6]),  # .7 and 1.4 slices away
        (4.6, [5, 5, 5, 5, 5]),  # more than half as far again: no context at all
        (None, [3, 4, 5, 6, 7]),
    ],
)
def test_context_is_looked_for_in_mm_where_the_card_states_them(step, neighbours):
    wanted = card(context_slices=2, spacing=(3.0, 1.0, 1.0))
    part = image("LPS", (10, 4, 4), slice_spacing=step)
    assert prepare(part, wanted, None).neighbours(5) == neighbours


def test_a_single_slice_is_its_own_context():
    wanted = card(context_slices=1, spacing=(3.0, 1.0, 1.0))
    assert prepare(image("LPS", (1, 4, 4), slice_spacing=3.0), wanted, None).neighbours(0) == [0, 0, 0]


def test_context_without_a_slice_spacing_of_the_card_is_the_next_slice():
    wanted = card(context_slices=1, spacing=(1.0, 1.0))
    assert prepare(image("LPS", (5, 4, 4), slice_spacing=9.0), wanted, None).neighbours(2) == [1, 2, 3]


def test_three_spacings_of_a_context_card_leave_the_slices_as_they_are():
    wanted = card(context_slices=1, spacing=(3.0, 1.0, 1.0))
    assert prepare(image("LPS", (5, 4, 4), spacing=(2.0, 1.0), slice_spacing=1.0), wanted, None).grid == (5, 8, 4)
