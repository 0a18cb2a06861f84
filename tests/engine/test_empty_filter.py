"""The empty filter on slices of a few pixels, whose means one can take with a pencil."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_toys import CPU, Banded, Threshold, card, in_bands, one
from torch import nn

from segcli.contract import EmptyFilter, Label
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UnsupportedError, UsageError
from segcli.geometry import Geometry
from segcli.image import Image

OFF = replace(CPU, gate="off")
TWO = (Label(5, "a", (255, 0, 0)), Label(7, "b", (0, 255, 0)))


class Says(nn.Module):
    """Its probabilities are its channels: two channels a label; background is what is left."""

    multiple, offset = 1, 0

    def forward(self, x):
        return torch.cat([1 - x.sum(dim=1, keepdim=True), x], dim=1)


class SaysLogits(nn.Module):
    """The same for sigmoid, as logits."""

    multiple, offset = 1, 0

    def forward(self, x):
        return x.logit()


def empty_filter(top_k, *threshold):
    none = (0,) * len(threshold)
    share = (0.0,) * len(threshold)
    return EmptyFilter(top_k, threshold, none, none, share, share, share, 0.0)


def slices(*planes):
    """Planes, each a dict (label's number, row, column) → probability, on 8 × 8 pixels, as an image of two channels."""
    pixels = np.zeros((len(planes), 2, 8, 8), np.float32)
    for plane, drawn in zip(pixels, planes, strict=True):
        for (channel, row, column), p in drawn.items():
            plane[channel, row, column] = p
    return Image(pixels)


def wanted(top_k, *threshold, **changes):
    found = {
        "activation": "none",
        "labels": TWO,
        "channels": ("a", "b"),
        "empty_filter": empty_filter(top_k, *threshold),
    }
    return card(**{**found, **changes})


def test_the_mean_of_the_highest_decides_slice_by_slice():
    strong = {(0, 2, 3): 0.9, (0, 2, 4): 0.6, (0, 5, 5): 0.6, (0, 7, 7): 0.1}  # (0.9 + 0.6 + 0.6) / 3 = 0.7
    weak = {(0, 2, 3): 0.9, (0, 2, 4): 0.3, (0, 5, 5): 0.3}  # 0.5
    part = slices(strong, weak, {})
    kept = one(Says(), part, wanted(3, 0.69, 0))
    assert np.argwhere(kept.masks[0].pixels == 5).tolist() == [[0, 2, 3], [0, 2, 4], [0, 5, 5]]
    means = [unit["a"] for unit in kept.filter_scores[0]]
    assert means == pytest.approx([0.7, 0.5, 0.0], abs=1e-6)
    assert kept.slices_emptied == 1  # the third had nothing to lose
    assert kept.counts == ({5: 3, 7: 0},) and kept.empty_reason is None
    gone = one(Says(), part, wanted(3, 0.71, 0))
    assert not gone.masks[0].pixels.any()
    assert (gone.slices_emptied, gone.empty_reason) == (2, "post-processing")


def test_a_slice_counts_as_emptied_only_if_the_label_had_been_drawn():
    part = slices({(0, 2, 3): 0.3, (1, 5, 5): 0.9})  # a is too weak to be drawn, and is taken off; b stays
    kept = one(Says(), part, wanted(1, 0.5, 0.5))
    assert np.argwhere(kept.masks[0].pixels).tolist() == [[0, 5, 5]]
    assert kept.slices_emptied == 0


def test_a_label_that_is_taken_off_leaves_its_pixels_to_the_next_likely():
    plane = {(0, 1, 1): 0.5, (1, 1, 1): 0.4, (0, 4, 4): 0.5, (1, 4, 4): 0.1}  # background 0.1 and 0.4
    part = slices(plane)
    assert one(Says(), part, wanted(2, 0.5, 0.25)).masks[0].pixels[0, [1, 4], [1, 4]].tolist() == [5, 5]
    found = one(Says(), part, wanted(2, 0.51, 0.25)).masks[0].pixels[0]  # b: (0.4 + 0.1) / 2 = 0.25
    assert found[[1, 4], [1, 4]].tolist() == [7, 0]


def test_sigmoid_labels_are_taken_off_one_by_one():
    part = slices({(0, 1, 1): 0.9, (1, 1, 1): 0.6})
    sigmoid = wanted(1, 0.5, 0.7, activation="sigmoid")
    assert one(SaysLogits(), part, sigmoid, OFF).masks[0].pixels[0, 1, 1] == 7  # the later one wins
    assert one(SaysLogits(), part, sigmoid).masks[0].pixels[0, 1, 1] == 5


def test_what_is_left_is_renormalised_before_it_is_resampled():
    """1 mm pixels seen at 0.5 mm, and back: column 3 is made of four, seen columns 5 to 8, in parts 1 : 3 : 3 : 1.

    Columns 0 to 3 hold a 0.9, b 0.06, background 0.04; the others 0.4, 0.25, 0.35. Seen columns 7 and 8 are mixtures
    3 : 1 and 1 : 3. Without a, b less background is 0.2, 0.2, -0.044 and -0.147 there after renormalising: b wins
    column 3 by 0.065. Not renormalised it would lose: 0.02, 0.02, -0.01 and -0.07 add up to -0.0025.
    """
    pixels = np.zeros((1, 2, 8, 8), np.float32)
    pixels[0, :, :, :4] = np.reshape([0.9, 0.06], (2, 1, 1))
    pixels[0, :, :, 4:] = np.reshape([0.4, 0.25], (2, 1, 1))
    half = replace(wanted(1, 0.95, 0), spacing=(1.0, 0.5))
    found = one(Says(), Image(pixels, Geometry(spacing=(1.0, 1.0))), half).masks[0].pixels[0]
    assert found[0].tolist() == [7, 7, 7, 7, 0, 0, 0, 0]


def test_a_three_dimensional_stack_is_judged_as_a_whole():
    pixels = slices({(0, 2, 3): 0.9}, *[{}] * 6, {(0, 5, 5): 0.7}).pixels
    stack = {"spatial_dims": 3, "tile": (8, 8, 8), "overlap": (2, 2, 2), "margin": (0, 0, 0)}
    part = Image(pixels)
    assert (one(Says(), part, wanted(2, 0.79, 0, **stack)).masks[0].pixels > 0).sum() == 2  # (0.9 + 0.7) / 2 = 0.8
    gone = one(Says(), part, wanted(2, 0.81, 0, **stack))
    assert not gone.masks[0].pixels.any() and gone.slices_emptied == 1


def test_fewer_pixels_than_top_k_are_averaged_all_and_padding_counts_not():
    pixels = np.full((1, 2, 2, 3), 0.4, np.float32)
    found = one(Says(), Image(pixels), wanted(50, 0.0, 0.0))
    assert found.filter_scores[0][0]["a"] == pytest.approx(0.4)
    pixels[0, 0, 0, 0] = 1.0  # mirrored into the padding it would count many times: (1 + 5 · 0.4) / 6 = 0.5
    assert one(Says(), Image(pixels), wanted(6, 0.0, 0.0)).filter_scores[0][0]["a"] == pytest.approx(0.5)


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_a_filter_that_is_off_or_open_changes_nothing(activation):
    pixels = np.random.default_rng(0).uniform(0.01, 0.49, (3, 2, 21, 19)).astype(np.float32)
    part = Image(pixels, Geometry(spacing=(1.0, 1.0)))
    network = Says() if activation == "none" else SaysLogits()
    plain = wanted(1, 0, 0, activation=activation, threshold=0.3, spacing=(1.3, 0.8), empty_filter=None)
    before = one(network, part, plain)
    for same in (
        one(network, part, replace(plain, empty_filter=empty_filter(4, 0.0, 0.0))),
        one(network, part, replace(plain, empty_filter=empty_filter(4, 0.9, 0.9)), OFF),
    ):
        assert np.array_equal(same.masks[0].pixels, before.masks[0].pixels) and same.slices_emptied == 0
    assert before.masks[0].pixels.any() and before.filter_scores is None
    assert not one(network, part, replace(plain, empty_filter=empty_filter(4, 0.9, 0.9))).masks[0].pixels.any()


def test_an_image_read_in_bands_is_held_a_slice_at_a_time():
    pixels = slices(*[{(0, 2, 3): p, (1, 7, 7): 0.8} for p in (0.9, 0.55)]).pixels
    pixels = np.tile(pixels, (1, 1, 4, 1))
    filtered = wanted(2, 0.6, 0)
    out, result = in_bands(Says(), Banded(pixels), filtered)
    assert out.full and result.masks == ()
    assert np.array_equal(out.mask, one(Says(), Image(pixels), filtered).masks[0].pixels)
    assert (out.mask == 5).any(axis=(1, 2)).tolist() == [True, False]


def test_a_slice_that_is_too_large_to_be_held_is_refused_and_off_helps():
    part = slices({}, {})  # 3 probabilities of 64 pixels
    small = replace(CPU, max_pixels=191)
    refused = one(Says(), part, wanted(2, 0.6, 0), small)
    assert isinstance(refused, UnsupportedError)
    assert "a slice whole" in str(refused) and "192 probabilities" in str(refused) and "--gate off" in str(refused)
    assert not isinstance(one(Says(), part, wanted(2, 0.6, 0), replace(small, max_pixels=192)), CaseError)
    assert not isinstance(one(Says(), part, wanted(2, 0.6, 0), replace(small, gate="off")), CaseError)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_filtered_away(value):
    class Bad(Says):
        def forward(self, x):
            found = super().forward(x).clone()
            found[:, 1, 3, 3] = value
            return found

    result = one(Bad(), slices({(0, 1, 1): 0.1}), wanted(2, 0.99, 0.99))
    assert isinstance(result, CaseError) and "not a number" in str(result)


def test_a_threshold_of_the_gate_does_not_stand_for_one_of_the_filter():
    with pytest.raises(UsageError, match="no presence head"):
        Segmenter(Threshold(), wanted(2, 0.6, 0), replace(CPU, gate=0.5))
