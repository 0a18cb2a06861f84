"""An image larger than memory: read in bands, blended in bands, written in bands, and the same mask in the end."""

import weakref

import numpy as np
import pytest
import torch
from engine_toys import CPU, NOWHERE, Banded, Gated, Threshold, card, events, in_bands, one, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from segcli.contract import Intensity
from segcli.engine.events import Band
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UnreadableError, UnsupportedError
from segcli.geometry import Geometry
from segcli.image import Image
from segcli.settings import PredictSettings

MM = Geometry(spacing=(1.0, 1.0))


def banded(network, pixels, wanted, options=CPU, geometry=NOWHERE):
    source = Banded(pixels, geometry)
    out, result = in_bands(network, source, wanted, options)
    if isinstance(result, CaseError):
        raise result
    assert out.full
    assert result.masks == ()
    return out, source, result


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 2), st.sampled_from([0, 2, 6]))
def test_bands_give_what_the_whole_image_gives(rows, columns, slices, overlap):
    part = picture(rows, columns, rows * 31 + columns, slices)
    out, _, result = banded(Threshold(), part.pixels, card(overlap=(overlap, overlap)))
    assert np.array_equal(out.mask, np.where(part.pixels[:, 0] > 100, 5, 0))
    assert result.counts == ({5: int((part.pixels > 100).sum())},)


class Soft(nn.Module):
    """How likely a pixel is the label grows with its brightness."""

    multiple, offset = 1, 0

    def forward(self, x):
        return torch.cat([-x, x], dim=1)


def resized(values, *size):
    """As torch does it, float64."""
    return functional.interpolate(values, size=size, mode="bilinear", antialias=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 40), st.integers(6, 20), st.floats(0.4, 2.5))
def test_resampled_bands_are_what_torch_makes_of_the_whole_image(rows, columns, spacing):
    """Resampled, shown, and the probabilities resampled back; bit-equal to the same image in memory."""
    wanted = card(spacing=(spacing, spacing), intensity=Intensity("zscore"))
    pixels = picture(rows, columns, rows).pixels
    out, _, _ = banded(Soft(), pixels, wanted, geometry=MM)
    assert np.array_equal(out.mask, one(Soft(), Image(pixels, MM), wanted).masks[0].pixels)
    z = torch.from_numpy((pixels - pixels.mean()) / pixels.std())
    shown = resized(z, round(rows / spacing), round(columns / spacing))
    likely = resized((2 * shown).sigmoid(), rows, columns)[0, 0].numpy()
    sure = np.abs(likely - 0.5) > 1e-5
    assert np.array_equal(out.mask[0][sure], np.where(likely > 0.5, 5, 0)[sure]) and sure.mean() > 0.9


def test_a_three_dimensional_stack_is_read_slice_by_slice():
    pixels = picture(9, 10, 3, slices=21).pixels
    wanted = card(spatial_dims=3, tile=(8, 8, 8), overlap=(2, 2, 2), margin=(0, 0, 0))
    out, source, _ = banded(Threshold(), pixels, wanted)
    assert np.array_equal(out.mask > 0, pixels[:, 0] > 100)
    assert sorted(index for index, _, _ in source.reads) == list(range(21))


def test_every_row_is_read_once_however_tiles_overlap():
    pixels = picture(64, 16).pixels
    _, source, _ = banded(Threshold(), pixels, card(overlap=(6, 6)))
    read = np.zeros(64, int)
    for _, start, stop in source.reads:
        read[start:stop] += 1
        assert stop - start <= 8
    assert (read == 1).all()


def test_zscore_of_a_band_source_takes_one_pass_more():
    pixels = picture(64, 16).pixels
    _, source, _ = banded(Threshold(), pixels, card(intensity=Intensity("zscore")))
    assert sum(stop - start for _, start, stop in source.reads) == 2 * 64


@pytest.mark.parametrize("rows", [100, 1000])
def test_what_is_held_does_not_grow_with_the_height(rows):
    """Rows are read when a row of tiles needs them, written soon after, and forgotten."""
    held, ahead = [], []

    class Endless(Banded):
        shape = (1, 1, rows, 24)

        def read(self, slice_index, row_start, row_stop):
            band = np.full((1, row_stop - row_start, 24), 150, np.uint8)
            held.append(weakref.ref(band))
            assert sum(each() is not None for each in held) <= 3
            ahead.append(row_stop - out.written)
            return band

    class Nowhere:
        written = 0

        def write(self, band):
            assert band.row_start == self.written
            assert len(band.labels) <= 8
            self.written += len(band.labels)

    out = Nowhere()
    _, result = in_bands(Gated(), Endless(np.zeros((1, 1, 1, 1), np.uint8)), out=out)
    assert out.written == rows
    assert result.counts == ({5: rows * 24},)
    assert max(ahead) <= 3 * 8


def test_what_needs_the_whole_image_is_read_whole_within_max_pixels_or_refused():
    pixels = picture(30, 20).pixels
    wanted = card(intensity=Intensity("percentile", low=1, high=99))
    out, _, _ = banded(Threshold(), pixels, wanted)
    assert np.array_equal(out.mask, one(Threshold(), Image(pixels), wanted).masks[0].pixels)
    with pytest.raises(UnsupportedError, match=r"percentiles.*600 pixels.*--max-pixels 599"):
        banded(Threshold(), pixels, wanted, PredictSettings(device="cpu", max_pixels=599))


def test_a_turned_band_source_is_read_whole_and_written_as_it_lies():
    axes = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    geometry = Geometry((1.0, 1.0), None, axes)
    pixels = picture(30, 20, 5).pixels
    wanted = card(orientation="LPS")
    out, _, _ = banded(Threshold(), pixels, wanted, geometry=geometry)
    assert np.array_equal(out.mask > 0, pixels[:, 0] > 100)
    with pytest.raises(UnsupportedError, match="turned"):
        banded(Threshold(), pixels, wanted, PredictSettings(device="cpu", max_pixels=599), geometry)


def test_bands_come_in_order_whichever_volumes_are_reoriented():
    """The writer of a file takes them volume by volume, slice by slice; a reoriented one comes when it is whole."""
    mirrored = Geometry((1.0, 1.0), None, ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    volumes = (Image(picture(20, 9, 1, 2).pixels, mirrored), picture(20, 9, 2, 2))
    found = [
        event for event in events(Threshold(), [("case", volumes)], card(orientation="LPS")) if isinstance(event, Band)
    ]
    places = [(band.volume, band.slice_index, band.row_start) for band in found]
    assert places == sorted(places)
    for number, volume in enumerate(volumes):
        rows = [band.labels for band in found if band.volume == number]
        assert np.array_equal(np.concatenate(rows).reshape(2, 20, 9) > 0, volume.pixels[:, 0] > 100)


def test_a_band_that_cannot_be_read_fails_its_case_alone():
    class Cut(Banded):
        def read(self, slice_index, row_start, row_stop):
            if row_stop > 20:
                raise UnreadableError("cut off")
            return super().read(slice_index, row_start, row_stop)

    good = picture(20, 20)
    cases = [("a", (good,)), ("cut", (Cut(picture(40, 20).pixels),)), ("b", (good,))]
    results = dict(Segmenter(Threshold(), card(), CPU).segment(cases))
    assert str(results["cut"]) == "cut off"
    assert np.array_equal(results["a"].masks[0].pixels, results["b"].masks[0].pixels)
