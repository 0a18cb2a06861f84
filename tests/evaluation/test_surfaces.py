"""HD95 and NSD of the library against distances anyone can count."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcli.evaluation.scores import score_case
from segcli.evaluation.surfaces import hd95, nsd, with_surfaces


def square(row: int, column: int, size: int = 5, side: int = 20) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[row : row + size, column : column + size] = True
    return mask


def test_a_shift_by_three_rows_is_three_spacings() -> None:
    # the whole upper and lower edge lie 3 rows apart: more than 5 % of the edge pixels
    assert hd95(square(4, 4), square(7, 4), (1.0, 1.0)) == pytest.approx(3.0)
    assert hd95(square(4, 4), square(7, 4), (0.5, 1.0)) == pytest.approx(1.5)


def test_single_pixels_are_as_far_as_pythagoras_says() -> None:
    assert hd95(square(2, 3, 1), square(5, 7, 1), (1.0, 1.0)) == pytest.approx(5.0)
    assert hd95(square(2, 3, 1), square(5, 7, 1), (2.0, 0.5)) == pytest.approx(math.hypot(6, 2))


def test_at_most_five_percent_of_the_edge_may_be_anywhere() -> None:
    far = square(2, 2, 1, 60)
    large = square(20, 20, 30, 60)  # 116 edge pixels
    assert hd95(large | far, large, (1.0, 1.0)) == pytest.approx(0.0)
    assert hd95(square(20, 20, 3, 60) | far, square(20, 20, 3, 60), (1.0, 1.0)) > 10


def test_slices_have_a_spacing_too() -> None:
    one, other = np.zeros((6, 8, 8), bool), np.zeros((6, 8, 8), bool)
    one[1, 3, 3] = other[4, 3, 3] = True
    assert hd95(one, other, (2.5, 1.0, 1.0)) == pytest.approx(7.5)


def test_the_rim_of_the_image_is_an_edge() -> None:
    assert hd95(square(0, 0), square(0, 0), (1.0, 1.0)) == 0
    assert nsd(square(0, 0, 20), square(0, 0, 20), (1.0, 1.0), 1.0) == pytest.approx(1.0)


def test_nsd_counts_the_edge_within_the_tolerance() -> None:
    assert nsd(square(4, 4), square(6, 4), (1.0, 1.0), 2.0) == pytest.approx(1.0)
    assert nsd(square(4, 4), square(6, 4), (0.1, 0.1), 0.2) == pytest.approx(1.0)
    within = nsd(square(4, 4), square(6, 4), (1.0, 1.0), 1.0)
    assert within is not None
    assert 0.2 < within < 0.8
    assert nsd(square(1, 1, 2), square(14, 14, 2), (1.0, 1.0), 1.0) == 0


def test_nothing_has_no_distance() -> None:
    empty = np.zeros((20, 20), bool)
    assert hd95(empty, square(4, 4), (1.0, 1.0)) is None
    assert nsd(empty, square(4, 4), (1.0, 1.0), 1.0) == 0
    assert nsd(square(4, 4), empty, (1.0, 1.0), 1.0) == 0
    assert nsd(empty, empty, (1.0, 1.0), 1.0) is None


def test_a_single_slice_is_measured_in_its_plane() -> None:
    predicted, reference = square(4, 4)[None] * 3, square(7, 4)[None] * 3
    score = score_case("x", predicted, reference, {3: "a", 5: "b"})
    found = with_surfaces(score, (predicted, reference), [(3, "a"), (5, "b")], (9.0, 1.0, 1.0), 1.0)
    assert found.labels["a"].hd95 == pytest.approx(3.0)
    assert found.labels["b"].hd95 is None
    assert found.labels["b"].nsd is None
    assert found.labels["a"].dice == score.labels["a"].dice
