"""Any callable can stand in for the network: what tiling and stitching do is then known beforehand."""

import numpy as np
import pytest
import torch
from engine_toys import CPU, Gated, Threshold, card, one, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segcli.contract import Gate
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UsageError
from segcli.image import Image
from segcli.settings import PredictSettings


class Fails(Threshold):
    """Raises where a pixel is exactly 13."""

    def forward(self, x):
        if bool((x == 13).any()):
            raise RuntimeError("thirteen")
        return super().forward(x)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 3))
def test_any_size_gives_what_the_whole_image_would(rows, columns, slices):
    part = picture(rows, columns, rows * 31 + columns, slices)
    expected = np.where(part.pixels[:, 0] > 100, 5, 0)
    assert np.array_equal(one(Threshold(), part).masks[0].pixels, expected)


@pytest.mark.parametrize("size", [(9, 7, 11), (8, 8, 8), (3, 20, 5)])
def test_three_dimensions(size):
    part = Image(np.random.default_rng(1).integers(0, 200, size, dtype=np.uint8)[:, np.newaxis])
    wanted = card(spatial_dims=3, tile=(8, 8, 8), overlap=(2, 2, 2), margin=(0, 0, 0))
    assert np.array_equal(one(Threshold(), part, wanted).masks[0].pixels > 0, part.pixels[:, 0] > 100)


def test_gate_skips_the_decoder_and_changes_nothing_where_it_is_right():
    pixels = np.zeros((2, 1, 32, 32), np.uint8)
    pixels[0, 0, 3:5, 3:5] = 150
    gate = Gate((0.5,), (1000,), (10,), (1.0,), (0.99,), (1.0,), 1.0)
    network = Gated()
    with_gate = one(network, Image(pixels), card(gate=gate), PredictSettings(device="cpu", batch=1))
    assert sum(network.decoded) == with_gate.tiles - with_gate.tiles_gated == 1
    assert np.array_equal(with_gate.masks[0].pixels, one(Threshold(), Image(pixels)).masks[0].pixels)
    assert with_gate.presence == {"object": 1.0}
    assert with_gate.slice_presence[0][1]["object"] == 0.0


def test_nothing_is_decoded_when_everything_is_gated():
    network = Gated()
    result = one(network, Image(np.zeros((3, 1, 20, 20), np.uint8)), options=PredictSettings(device="cpu", gate=0.5))
    assert network.decoded == []
    assert result.empty_reason == "gate"
    assert not result.masks[0].pixels.any()


def test_an_asked_for_gate_without_a_presence_head_is_refused():
    with pytest.raises(UsageError, match="presence head"):
        Segmenter(Threshold(), card(), PredictSettings(device="cpu", gate=0.5))


def test_padding_pixels_of_the_source_are_always_background():
    pixels = np.full((1, 1, 8, 8), 150, np.uint8)
    valid = np.ones((1, 8, 8), bool)
    valid[0, :, :4] = False
    assert np.array_equal(one(Threshold(), Image(pixels, valid=valid)).masks[0].pixels > 0, valid)


def test_an_error_in_a_shared_batch_stays_with_its_case():
    good, bad = picture(5, 5), Image(np.full((1, 1, 5, 5), 13, np.uint8))
    cases = [("a", (good,)), ("bad", (bad,)), ("b", (good,))]
    results = dict(Segmenter(Fails(), card(), CPU).segment(cases))
    assert isinstance(results["bad"], CaseError)
    assert "thirteen" in str(results["bad"])
    assert results["a"].masks[0].pixels.any()
    assert np.array_equal(results["a"].masks[0].pixels, results["b"].masks[0].pixels)


def test_a_network_that_returns_nan_never_gives_a_mask():
    class Broken(Threshold):
        def forward(self, x):
            return super().forward(x) * float("nan")

    result = one(Broken(), picture(9, 9))
    assert isinstance(result, CaseError)
    assert "not a number" in str(result)


def test_more_context_than_slices_repeats_the_edge():
    class Neighbours(nn.Module):
        multiple, offset = 1, 0

        def forward(self, x):
            assert x.shape[1] == 3
            return torch.cat([100 - x[:, :1], x[:, 2:] - 100], dim=1)  # looks at the next slice

    part = picture(8, 8, slices=3)
    below, above = part.pixels[[0, 0, 1], 0].astype(int), part.pixels[[1, 2, 2], 0].astype(int)
    mask = one(Neighbours(), part, card(context_slices=1)).masks[0].pixels > 0
    assert np.array_equal(mask, above - 100 > 100 - below)
