"""numpy over the whole array is the oracle."""

import numpy as np
import pytest
from engine_toys import Banded
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.contract import Intensity
from segcli.engine import statistics
from segcli.engine.statistics import normalisation
from segcli.image import Image


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 50), st.sampled_from(["case", "slice"]))
def test_mean_and_deviation_from_chunks(slices, rows, columns, chunk, scope):
    pixels = np.random.default_rng(rows).normal(1000, 3, (slices, 2, rows, columns)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "CHUNK", chunk)
        found = normalisation(Image(pixels), Intensity("zscore", scope))
        banded = normalisation(Banded(pixels), Intensity("zscore", scope))
    axes = (2, 3) if scope == "slice" else (0, 2, 3)
    exact = pixels.astype(np.float64)
    deviation = np.broadcast_to(exact.std(axis=axes), (slices, 2))
    assert np.allclose(found.offset, np.broadcast_to(exact.mean(axis=axes), (slices, 2)), rtol=1e-6)
    assert np.allclose(1 / found.scale, np.where(deviation > 0, deviation, 1), rtol=1e-5)
    assert np.array_equal(found.offset, banded.offset)
    assert np.array_equal(found.scale, banded.scale)


def test_large_numbers_lose_nothing():
    pixels = (np.arange(1000, dtype=np.uint32) % 7 + 4_000_000_000).reshape(1, 1, 10, 100)
    found = normalisation(Image(pixels), Intensity("zscore"))
    assert 1 / found.scale.item() == pytest.approx(pixels.std(), rel=1e-6)


def test_percentiles_of_valid_pixels():
    pixels = np.arange(101, dtype=np.int16).reshape(1, 1, 1, 101)
    valid = np.ones((1, 1, 101), bool)
    valid[..., 51:] = False
    found = normalisation(Image(pixels, valid=valid), Intensity("percentile", low=10, high=90))
    assert (found.offset.item(), 1 / found.scale.item(), found.clip) == (5, pytest.approx(40), True)
