import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.engine.tiles import Layout, padding, starts, window


def test_last_tile_is_clamped_inside_the_image():
    assert starts(10, tile=4, overlap=1) == [0, 3, 6]
    assert starts(11, tile=4, overlap=1) == [0, 3, 6, 7]
    assert starts(4, tile=4, overlap=1) == [0]


def test_corners_run_along_the_last_axis_first():
    layout = Layout((4, 6), tile=(4, 4), margin=(0, 0), overlap=(2, 2))
    assert list(layout.corners()) == [(0, 0), (0, 2)]
    assert layout.count == 2


@given(st.integers(1, 40), st.integers(1, 90), st.data())
def test_every_pixel_is_covered_and_no_tile_leaves_the_image(tile, extra, data):
    size = tile + extra
    overlap = data.draw(st.integers(0, tile - 1))
    covered = np.zeros(size, bool)
    for start in starts(size, tile, overlap):
        assert 0 <= start <= size - tile
        covered[start : start + tile] = True
    assert covered.all()


def test_window_is_a_product_of_gaussians_in_steps_of_a_1024th():
    weights = window((8, 8))
    assert np.array_equal(weights * 1024, np.round(weights * 1024))
    assert weights.min() == pytest.approx(1 / 1024)
    # centre of 8 pixels, σ = 1: exp(-½·0.5²)² = 0.7788 → 797.5 / 1024, rounded to the even 798
    assert weights[3, 4] * 1024 == pytest.approx(797, abs=1)
    assert np.array_equal(weights, weights[::-1, ::-1])


def test_padding_is_even_and_adds_the_margin():
    assert padding((5, 10), (8, 8), (0, 0)) == [(1, 2), (0, 0)]
    assert padding((5, 10), (8, 8), (2, 2)) == [(3, 4), (2, 2)]
