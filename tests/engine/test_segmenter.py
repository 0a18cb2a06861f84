"""Any callable can stand in for the network: what tiling and stitching do is then known beforehand."""

import numpy as np
import pytest
import torch
from engine_toys import CPU, Gated, Threshold, card, one, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segcli.contract import Gate, Intensity, Label
from segcli.engine import segmenter
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


def test_a_threshold_of_0_never_turns_a_tile_away():
    gate = Gate((0.0,), (1000,), (10,), (1.0,), (0.99,), (1.0,), 1.0)
    result = one(Gated(), Image(np.zeros((1, 1, 20, 20), np.uint8)), card(gate=gate))
    assert result.presence == {"object": 0.0}
    assert result.tiles_gated == 0
    assert result.empty_reason == "threshold"


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


class Half(nn.Module):
    """The label where the network is shown more than 0.5."""

    multiple, offset = 1, 0

    def forward(self, x):
        return torch.cat([0.5 - x, x - 0.5], dim=1)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["window", "zscore", "percentile"]), st.sampled_from(["case", "slice"]),
    st.integers(-2000, 3000), st.integers(1, 2000), st.integers(0, 99),
)  # fmt: skip
def test_intensities_of_any_place_and_width(kind, scope, low, width, seed):
    pixels = np.random.default_rng(seed).integers(low - width, low + 2 * width + 1, (3, 1, 7, 9)).astype(np.int16)
    pixels[1] += 50
    given = {
        "window": {"low": float(low), "high": float(low + width)},
        "zscore": {"mean": float(low), "std": float(width)},
        "percentile": {"low": 20.0, "high": 70.0},
    }[kind]
    half = np.full((3, 1, 1), low + width / 2)
    if kind == "percentile":
        axes = (2, 3) if scope == "slice" else (0, 1, 2, 3)
        half[:] = np.percentile(pixels, (20, 70), axis=axes, keepdims=True).mean(axis=0).reshape(-1, 1, 1)
    values = pixels[:, 0]
    sure = np.abs(values - half) > 1e-3 * width
    mask = one(Half(), Image(pixels), card(intensity=Intensity(kind, scope, **given))).masks[0].pixels > 0
    assert np.array_equal(mask[sure], (values > half)[sure])


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_an_offset_beyond_float32_does_not_take_the_image_with_it(dtype, spatial_dims):
    """At 4e9 float32 holds every 256th number only; the object is 110 brighter than what is around it."""
    tile = (8,) * spatial_dims
    wanted = card(
        spatial_dims=spatial_dims, tile=tile, overlap=(2,) * spatial_dims, margin=(0,) * spatial_dims,
        intensity=Intensity("zscore", mean=4e9, std=1.0),
    )  # fmt: skip
    pixels = np.full((8, 1, 12, 12), 4_000_000_000, dtype)
    pixels[2:4, 0, 3:6, 3:6] += dtype(110)
    assert np.array_equal(one(Threshold(), Image(pixels), wanted).masks[0].pixels, np.where(pixels[:, 0] > 4e9, 5, 0))


def test_a_presence_of_another_shape_than_the_card_says_is_refused():
    two = card(labels=(Label(1, "a", (255, 0, 0)), Label(2, "b", (0, 255, 0))))
    with pytest.raises(CaseError, match=r"presence has the shape \(1,\) a tile, the card has 2 label"):
        raise one(Gated(), picture(8, 8), two)


def test_no_memory_for_the_preparation_is_the_cases_error_and_a_bug_is_none(monkeypatch):
    def fails(error):
        def prepare(*_):
            raise error

        monkeypatch.setattr(segmenter, "prepare", prepare)
        return one(Threshold(), picture(8, 8))

    assert isinstance(fails(MemoryError()), CaseError)
    with pytest.raises(RuntimeError, match="a bug"):
        fails(RuntimeError("a bug"))
