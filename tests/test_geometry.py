"""Where images lie: letters of orientation as nibabel has them, and whether two images lie at the same place."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import nibabel.orientations as nibabel_has
import numpy as np
import pytest

from segcli.contract import fits
from segcli.geometry import Geometry, difference, regular_stack, spans_space
from segcli.orientation import axis_order, is_orientation

ALL = ["".join(letters) for pairs in permutations(("LR", "PA", "SI")) for letters in product(*pairs)]
UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
HERE = Geometry((0.5, 0.5), 3.0, UPRIGHT, ((-100.0, -80.0, 30.0), (-100.0, -80.0, 33.0)))


@pytest.mark.parametrize("letters", ALL)
def test_three_letters_one_of_each_pair_are_an_orientation(letters: str) -> None:
    assert is_orientation(letters)
    directions = np.zeros((3, 3))  # one row for each of column, row and slice index
    for index, letter in enumerate(letters):
        axis = next(axis for axis, pair in enumerate(("LR", "PA", "SI")) if letter in pair)
        directions[index, axis] = 1 if letter in "LPS" else -1
    geometry = Geometry(axes=tuple(tuple(row) for row in directions.tolist()))  # type: ignore[arg-type]
    assert geometry.orientation == letters
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # nibabel counts towards the Right and Anterior
    affine[:3, :3] = affine[:3, :3] @ directions.T
    assert nibabel_has.aff2axcodes(affine) == tuple(letters)


@pytest.mark.parametrize("letters", ["", "LP", "LPSS", "LRS", "LPX", "lps"])
def test_other_letters_are_none(letters: str) -> None:
    assert not is_orientation(letters)


@pytest.mark.parametrize("have", ALL[::5])
@pytest.mark.parametrize("want", ALL[::7])
def test_axes_change_places_as_nibabel_has_it(have: str, want: str) -> None:
    source, target = (nibabel_has.axcodes2ornt(tuple(letters[::-1])) for letters in (have, want))
    moved = nibabel_has.ornt_transform(target, source)  # row: an axis of the target; first number: the source's
    assert axis_order(have, want) == tuple(int(axis) for axis in moved[:, 0])


@pytest.mark.parametrize(
    ("there", "differs"),
    [
        (HERE, None),
        (Geometry(), None),  # what is not stated is not compared
        (replace(HERE, spacing=(0.505, 0.5)), None),
        (replace(HERE, spacing=(0.55, 0.5)), "spacing"),
        (replace(HERE, axes=((1.0, 0.005, 0.0), *UPRIGHT[1:])), None),
        (replace(HERE, axes=((-1.0, 0.0, 0.0), *UPRIGHT[1:])), "orientation"),
        (replace(HERE, positions=((-100.1, -80.0, 30.0), (-100.1, -80.0, 33.0))), None),  # 0.01 mm and a thousandth
        (replace(HERE, positions=((-100.0, -80.0, 30.1), (-100.0, -80.0, 33.1))), "position"),
    ],
)
def test_two_images_lie_at_the_same_place_within_the_tolerance(there: Geometry, differs: str | None) -> None:
    assert difference(HERE, there) == differs


def test_a_leaning_stack_has_its_spacing_along_the_normal() -> None:
    directions = np.array([[1.0, 0.0, 0.6], [0.0, 1.0, 0.0], [0.0, 0.0, 0.8]])
    found = regular_stack(directions, (0.5, 0.7), 5.0, np.array([1.0, 2.0, 3.0]), 2)
    assert found == Geometry(
        (0.5, 0.7), 4.0, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.6, 0.0, 0.8)), ((1.0, 2.0, 3.0), (4.0, 2.0, 7.0))
    )
    assert found.voxel_volume == pytest.approx(0.5 * 0.7 * 4)
    assert spans_space(directions)


@pytest.mark.parametrize("third", [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, np.nan)])
def test_three_directions_in_one_plane_do_not_span_space(third: tuple[float, ...]) -> None:
    assert not spans_space(np.array([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), third]).T)


@pytest.mark.parametrize(
    ("sides", "fit"), [((92, 108), True), ((92, 100), False), ((12,), True), ((-4,), False), ((), True)]
)
def test_a_side_fits_that_is_offset_more_than_a_multiple(sides: tuple[int, ...], fit: bool) -> None:
    assert fits(sides, 16, 12) == fit
