"""The rules by which channels of a file become those of the card."""

from __future__ import annotations

import numpy as np
import pytest

from segcli.errors import UnsupportedError
from segcli.formats.interface import ReadRequest
from segcli.formats.pixels import drop_opaque_alpha, reconcile

RGB = np.stack([np.full((1, 2, 2), value, np.uint8) for value in (10, 20, 30)], axis=1)


def wants(*channels: str, channel: str | None = None) -> ReadRequest:
    return ReadRequest(channels=channels, channel=channel, max_pixels=1000)


def test_grey_from_rgb_is_rec_601_luma_and_not_rounded() -> None:
    grey = reconcile(RGB, "RGB", wants("grey"))
    assert grey.shape == (1, 1, 2, 2)
    assert np.allclose(grey, 0.299 * 10 + 0.587 * 20 + 0.114 * 30)


@pytest.mark.parametrize("channel", ["G", "1"])
def test_a_channel_is_picked_by_name_or_number(channel: str) -> None:
    assert (reconcile(RGB, "RGB", wants("grey", channel=channel)) == 20).all()


def test_a_channel_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match=r"--channel 3: the image has 3 channel\(s\): R, G, B"):
        reconcile(RGB, "RGB", wants("grey", channel="3"))


def test_one_channel_cannot_be_picked_for_a_model_of_two() -> None:
    with pytest.raises(UnsupportedError, match=r"--channel names one channel, the model wants 2 \(T1, T2\)"):
        reconcile(RGB, "RGB", wants("T1", "T2", channel="0"))


def test_other_numbers_of_channels_are_an_error_that_says_both() -> None:
    with pytest.raises(UnsupportedError, match=r"wants 2 channel\(s\) \(T1, T2\), the image has 3"):
        reconcile(RGB, "RGB", wants("T1", "T2"))


def test_only_an_opaque_alpha_is_dropped() -> None:
    opaque = np.concatenate([RGB, np.full((1, 1, 2, 2), 255, np.uint8)], axis=1)
    assert np.array_equal(drop_opaque_alpha(opaque, 255), RGB)
    opaque[0, 3, 0, 0] = 254
    with pytest.raises(UnsupportedError, match="transparent"):
        drop_opaque_alpha(opaque, 255)
