"""torch's own interpolation is the oracle; stretches must give the bits the whole gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from segcli.engine.resample import Resample, resize

sizes = st.integers(1, 60)
wide = st.integers(2, 60)  # torch repeats the first row of a single column where the rows grow


@settings(max_examples=60, deadline=None)
@given(wide, wide, wide, wide)
def test_a_plane_is_resampled_as_torch_does(rows, columns, new_rows, new_columns):
    plane = torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(rows))
    expected = functional.interpolate(
        plane[None], size=[new_rows, new_columns], mode="bilinear", align_corners=False, antialias=True
    )[0]
    assert torch.allclose(resize(plane, (new_rows, new_columns)), expected, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.data())
def test_any_stretch_has_the_bits_of_the_whole_and_needs_only_its_rows(old, new, data):
    rows = torch.rand(1, old, 3, generator=torch.Generator().manual_seed(old))
    resample = Resample(old, new)
    whole = resample.apply(rows, 1, 0, new)
    start = data.draw(st.integers(0, new - 1))
    stop = data.draw(st.integers(start + 1, new))
    low, high = resample.needs(start, stop)
    assert torch.equal(resample.apply(rows[:, low:high], 1, start, stop, low), whole[:, start:stop])


@settings(max_examples=60, deadline=None)
@given(sizes, sizes)
def test_ready_counts_all_pixels_that_need_no_more(old, new):
    resample = Resample(old, new)
    for stop in range(old + 1):
        ready = resample.ready(stop)
        assert ready == 0 or resample.needs(ready - 1, ready)[1] <= stop
        assert ready == new or resample.needs(ready, ready + 1)[1] > stop
    assert resample.ready(old) == new


def test_three_axes():
    values = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert resize(values, (1, 1, 1)).item() == pytest.approx(3.5)
