"""What the engine gives against the same thing done the plain way: whole image, float64, gate afterwards."""

import itertools

import numpy as np
import pytest
import torch
from engine_toys import CPU, card, one
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segcli.contract import Gate, Label
from segcli.engine.aggregator import PatchAggregator
from segcli.engine.tiles import Layout, window
from segcli.image import Image

LABELS = (Label(3, "one", (255, 0, 0)), Label(2, "other", (0, 255, 0)))


class Random(nn.Module):
    """A random 1×1 network of two labels, whose presence is a random function of the tile's mean."""

    multiple, offset = 1, 0

    def __init__(self, outputs):
        super().__init__()
        torch.manual_seed(7)
        self.mix = nn.Conv2d(1, outputs, 3, padding=1)
        self.head = nn.Linear(1, 2)

    def forward(self, x):
        return self.decode(self.encode(x))

    def encode(self, x):
        return (x / 100 - 1,)

    def presence(self, features):
        return torch.sin(50 * self.head(features[0].mean(dim=(1, 2, 3))[:, None])) * 3

    def decode(self, features):
        return 4 * self.mix(features[0])


def gaussian(tile):
    """σ = tile / 8, in multiples of 1/1024, at least one."""
    rows, columns = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in tile)
    return np.maximum(np.rint(np.outer(rows, columns) * 1024), 1) / 1024


def first_pixels(size, tile, overlap):
    """A tile every ``tile − overlap`` pixels, the last one as far as it goes."""
    return sorted({min(start, size - tile) for start in range(0, size, tile - overlap)})


def plainly(network, wanted, pixels, thresholds):
    """The formula of the contract, tile by tile in float64, without batches, bands, or skipped decoders."""
    rows, columns = pixels.shape
    missing = [max(0, tile - side) for tile, side in zip(wanted.tile, pixels.shape, strict=True)]
    pad = [(m // 2, m - m // 2) for m in missing]
    padded = np.pad(pixels, pad, mode="reflect")
    sides = zip(padded.shape, wanted.tile, wanted.overlap, strict=True)
    corners = itertools.product(*(first_pixels(*side) for side in sides))
    weight = gaussian(wanted.tile)
    sigmoid = wanted.activation == "sigmoid"
    outputs = 2 if sigmoid else 3
    total = np.zeros(padded.shape)
    sums, kept_weight = np.zeros((outputs, *padded.shape)), np.zeros((outputs, *padded.shape))
    for row, column in corners:
        where = (slice(row, row + wanted.tile[0]), slice(column, column + wanted.tile[1]))
        x = torch.from_numpy(padded[where].astype(np.float32))[None, None]
        with torch.inference_mode():
            features = network.encode(x)
            kept = (network.presence(features).sigmoid()[0].numpy() >= np.array(thresholds, np.float32)).tolist()
            z = network.decode(features)[0].double().numpy()
        total[where] += weight
        if sigmoid:
            p = 1 / (1 + np.exp(-z)) * np.array(kept)[:, None, None]
            flags = kept
        else:
            flags = [any(kept), *kept]
            e = np.exp(z - z.max(axis=0)) * np.array([True, *kept])[:, None, None]
            p = e / e.sum(axis=0)
        for k, flag in enumerate(flags):
            if flag:
                sums[(k, *where)] += weight * p[k]
                kept_weight[(k, *where)] += weight
    mean = np.where(kept_weight >= 0.25 * total, sums / np.maximum(kept_weight, 1e-300), 0)
    (top, _), (left, _) = pad
    return mean[:, top : top + rows, left : left + columns]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from(["softmax", "sigmoid"]), st.sampled_from([0, 2, 6]),
    st.tuples(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.5, 0.9])),
)  # fmt: skip
def test_the_gated_result_is_the_formula_of_gating_afterwards(rows, columns, activation, overlap, thresholds):
    gate = Gate(thresholds, (1,) * 2, (1,) * 2, (1.0,) * 2, (1.0,) * 2, (1.0,) * 2, 1.0)
    wanted = card(labels=LABELS, activation=activation, overlap=(overlap, overlap), gate=gate)
    network = Random(wanted.network_outputs)
    pixels = np.random.default_rng(rows * 31 + columns).integers(0, 200, (rows, columns), dtype=np.uint8)
    mask = one(network, Image(pixels[None, None]), wanted).masks[0].pixels[0]
    p = plainly(network, wanted, pixels, thresholds)
    values = [label.value for label in LABELS]
    if activation == "sigmoid":
        expected = np.zeros((rows, columns), int)
        for value, each in zip(values, p, strict=True):
            expected[each > 0.5] = value
        close = np.abs(p - 0.5).min(axis=0) < 1e-5
    else:
        expected = np.where(p.max(axis=0) > 0, np.array([0, *values])[p.argmax(axis=0)], 0)
        highest = np.sort(p, axis=0)
        close = (highest[-1] - highest[-2] < 1e-5) & (highest[-1] > 0)
    assert np.array_equal(mask[~close], expected[~close])
    assert close.mean() < 0.1 or close.size < 30


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([(16, 16), (12, 8)]), st.floats(0, 0.75))
def test_x_plus_1_comes_back_exact(rows, columns, tile, share):
    overlap = tuple(int(share * side) for side in tile)
    layout = Layout((rows, columns), tile, (0, 0), overlap)
    x = torch.from_numpy(np.random.default_rng(rows).integers(0, 4095, (1, *layout.size)).astype(np.float32))
    stitch = PatchAggregator(layout.size, torch.from_numpy(window(tile)), 1, background=False)
    bands = []
    for row, column in layout.corners():
        if row != stitch.start:
            bands.append(stitch.advance(row))
        stitch.add((row, column), x[:, row : row + tile[0], column : column + tile[1]] + 1, [True])
    assert torch.equal(torch.cat([*bands, stitch.advance()], dim=1), x + 1)


@pytest.mark.parametrize(("margin", "tile"), [(0, 16), (3, 22)])
def test_a_network_that_sees_its_surroundings_gives_the_whole_image(margin, tile):
    """A 7×7 mean: with overlap twice its reach, or margins, no seam is left once the middle of tiles counts."""

    class Mean(nn.Module):
        multiple, offset = 1, 0

        def forward(self, x):
            smooth = nn.functional.avg_pool2d(x, 7, 1, 0 if margin else 3, count_include_pad=False)
            return torch.cat([100 - smooth, smooth - 100], dim=1)

    pixels = np.random.default_rng(3).integers(0, 200, (50, 41), dtype=np.uint8)
    wanted = card(tile=(tile, tile), margin=(margin, margin), overlap=(8, 8) if not margin else (2, 2))
    mask = one(Mean(), Image(pixels[None, None]), wanted, CPU).masks[0].pixels[0] > 0
    padded = torch.from_numpy(np.pad(pixels, 3, mode="reflect" if margin else "edge").astype(np.float32))
    whole = nn.functional.avg_pool2d(padded[None, None], 7, 1)[0, 0].numpy() > 100
    inside = slice(None) if margin else slice(4, -4)
    agree = (mask == whole)[inside, inside]
    assert agree.all() if margin else agree.mean() > 0.97


def test_all_odd_sizes_of_a_valid_network_are_covered():
    class Valid(nn.Module):
        multiple, offset = 1, 0

        def forward(self, x):
            middle = x[:, :, 3:-3, 3:-3]
            return torch.cat([100 - middle, middle - 100], dim=1)

    wanted = card(tile=(14, 14), margin=(3, 3), overlap=(2, 2))
    for rows, columns in itertools.product((1, 2, 7, 8, 9, 23), repeat=2):
        pixels = np.random.default_rng(rows).integers(0, 200, (1, 1, rows, columns), dtype=np.uint8)
        assert np.array_equal(one(Valid(), Image(pixels), wanted).masks[0].pixels > 0, pixels[:, 0] > 100)
