"""What counts as an image of another kind than a model was trained on; all figures computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.contract import Label, ModelCard, Scope
from segcli.engine.scope import View, out_of_scope

CROPS = Scope(
    field_of_view_mm=((26, 46), (40, 58), (31, 40)),
    field_of_view_px=((26, 46), (40, 58), (31, 40)),
    spacing=((1, 1), (1, 1), (1, 1)),
    body_part=("BRAIN", "HEAD"),
    planes=("axial",),
)
CARD = ModelCard(
    "unet", "hippocampus", "1", "CC0", 2, ("T1",), (Label(1, "h", (255, 0, 0)),), (64, 64), (16, 16), (0, 0),
    spacing=(1, 1), orientation="LPS", scope=CROPS, schema=2,
)  # fmt: skip
AS_STORED = replace(CARD, spacing=None, orientation=None)
VOLUME = replace(
    CARD, spatial_dims=3, tile=(32, 64, 64), overlap=(8, 16, 16), margin=(0, 0, 0), spacing=(1, 1, 1),
)  # fmt: skip


def test_the_reason_says_what_it_is_and_what_the_model_was_trained_on() -> None:
    square = replace(CARD, scope=Scope(field_of_view_mm=((32, 60), (32, 60))))
    found = out_of_scope(View((1, 230, 230), (None, 1, 1)), square)
    assert found == "out of scope: field of view 230 × 230 mm, the model was trained on 32-60 mm"


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View((160, 256, 256), (1, 1, 1)), "field of view 160 × 256 × 256 mm, the model was trained on 26-46 × 40-58"),
        (View((1, 256, 256), (None, 1, 1)), "field of view 256 × 256 mm, the model was trained on 40-58 × 31-40 mm"),
        (View((1, 256, 256)), "field of view 256 × 256 pixels, the model was trained on 40-58 × 31-40 pixels"),
        (View((1, 100, 100), (None, 1, 1)), "100 × 100 mm"),
        (View((1, 54, 101), (None, 1, 1)), "54 × 101 mm"),  # 2.5 × 40 is 100
        (View((1, 146, 31), (None, 1, 1)), "146 × 31 mm"),  # 2.5 × 58 is 145
        (View((116, 50, 35), (1, 1, 1)), "116 × 50 × 35 mm"),  # a column through a head: 2.5 × 46 is 115
        (View((30, 23, 35), (1, 1, 1)), "30 × 23 × 35 mm"),  # .6 × 40 is 24
        (View((30, 1024, 1024), (1, 0.25, 0.25)), "256 × 256 mm"),  # many small pixels
        (View((30, 64, 64), (1, 4, 4)), "256 × 256 mm"),  # few large ones
        (View((30, 15, 11), (1, 3.5, 3.5)), "spacing 3.5 × 3.5 mm, the model was trained on 1 mm"),
    ],
)
def test_images_of_another_kind(view: View, words: str) -> None:
    found = out_of_scope(view, CARD)
    assert found is not None and words in found


@pytest.mark.parametrize(
    "view",
    [
        View((36, 50, 35), (1, 1, 1), "LPS"),
        View((43, 54, 94), (1, 1, 1), "LPS"),  # both hippocampi
        View((1, 54, 94)),  # the same as a picture
        View((8, 54, 94), (1, 1, 1)),
        View((1, 54, 100), (None, 1, 1)),
        View((300, 50, 35)),  # pages that are no stack
        View((3, 50, 35), (5, 1, 1)),  # a 2-D network does not miss slices
        View((144, 200, 140), (0.25, 0.25, 0.25), "LPS"),  # resampled finely
        View((12, 17, 12), (3, 3, 3), "LPS"),
        View((None, 50, 35), (1, 1, 1), "LPS"),
        View((36, 50, 35), (1, 1, 1), "LPS", ("HEAD",)),
    ],
)
def test_images_of_its_kind(view: View) -> None:
    assert out_of_scope(view, CARD) is None


def test_axes_are_compared_after_they_are_turned() -> None:
    """A crop of 115 (slices) × 140 (rows) × 35 mm is in scope whichever way it is stored, and out if wrongly turned."""
    crop = View((115, 140, 35), (1, 1, 1), "LPS")
    assert out_of_scope(crop, CARD) is None
    sagittal = View((35, 115, 140), (1, 1, 1), "PIL")  # slices go to the left, rows down, columns back
    assert out_of_scope(sagittal, CARD) is None
    assert out_of_scope(replace(sagittal, orientation="LPS"), CARD) is not None
    spacing = View((70, 50, 35), (0.5, 1, 1), "PIL")  # the steps go with their axes: rows 35 mm, columns 35 mm
    assert out_of_scope(spacing, CARD) is None


def test_a_card_without_mm_compares_pixels_of_its_grid() -> None:
    pixels = replace(CARD, scope=Scope(field_of_view_px=((40, 58), (31, 40))))
    assert out_of_scope(View((1, 200, 140), (None, 0.25, 0.25)), pixels) is None
    assert out_of_scope(View((1, 200, 140)), pixels) is not None


def test_a_card_without_pixels_takes_an_image_without_spacing_as_the_engine_does() -> None:
    mm = replace(CARD, scope=Scope(field_of_view_mm=((40, 58), (31, 40))), spacing=(0.5, 0.5))
    assert out_of_scope(View((1, 100, 70)), mm) is None
    assert out_of_scope(View((1, 512, 512)), mm) is not None


def test_a_volume_needs_its_slices() -> None:
    assert out_of_scope(View((30, 50, 35), (1, 1, 1), "LPS"), VOLUME) is None
    assert out_of_scope(View((15, 50, 35), (1, 1, 1), "LPS"), VOLUME) is not None  # .6 × 26 is 15.6
    assert out_of_scope(View((8, 50, 35), (4, 1, 1), "LPS"), VOLUME) is not None


def test_fine_pixels_count_where_images_are_taken_as_stored() -> None:
    spacing = replace(AS_STORED, scope=Scope(spacing=((1, 1), (1, 1))))
    assert out_of_scope(View((1, 50, 35), (None, 0.3, 0.3)), spacing) is not None
    assert out_of_scope(View((1, 50, 35), (None, 0.3, 0.3)), replace(spacing, spacing=(1, 1))) is None


def test_planes_count_where_images_are_taken_as_stored() -> None:
    view = View((36, 50, 35), (1, 1, 1), "PIL")
    assert out_of_scope(view, AS_STORED) == "out of scope: plane sagittal, the model was trained on axial"
    assert out_of_scope(replace(view, orientation="LPI"), AS_STORED) is None
    assert out_of_scope(replace(view, size=(35, 36, 50)), CARD) is None


@pytest.mark.parametrize(
    "stated", ["HEAD", "Head", "BRAIN", "HEADNECK", "HEAD_NECK", "HEAD^ROUTINE", " ", "HEAD\\NECK"]
)
def test_body_parts_of_its_kind(stated: str) -> None:
    assert out_of_scope(View((36, 50, 35), (1, 1, 1), "LPS", (stated,)), CARD) is None


@pytest.mark.parametrize("stated", ["CHEST", "NECK", "FOREHEADS", "AHEAD", "SMITH^JOHN"])
def test_another_body_part_is_never_shown(stated: str) -> None:
    found = out_of_scope(View((36, 50, 35), (1, 1, 1), "LPS", ("HEAD", stated)), CARD)
    assert found == "out of scope: body part, the model was trained on BRAIN, HEAD"


def test_a_card_without_scope_compares_nothing() -> None:
    huge = View((9999, 9999, 9999), (50, 50, 50), "PIL", ("CHEST",))
    assert out_of_scope(huge, replace(CARD, scope=None)) is None
    assert out_of_scope(huge, replace(CARD, scope=Scope())) is None


@given(rows=st.integers(1, 2000), columns=st.integers(1, 2000), step=st.floats(0.05, 3), slices=st.integers(1, 500))
def test_only_the_extent_counts_not_the_pixels_it_is_made_of(rows: int, columns: int, step: float, slices: int) -> None:
    """By hand: in scope if no side is too long or too short and the slice not too large."""
    high, wide, deep = rows * step, columns * step, slices * 1.0
    expected = (
        0.6 * 40 <= high <= 2.5 * 58
        and 0.6 * 31 <= wide <= 2.5 * 40
        and deep <= 2.5 * 46
        and high * wide <= 3 * 58 * 40
    )
    assert (out_of_scope(View((slices, rows, columns), (1, step, step), "LPS"), CARD) is None) is expected


@given(size=st.tuples(*[st.integers(1, 300)] * 3), flips=st.tuples(*[st.booleans()] * 3))
def test_a_flip_never_changes_the_answer(size: tuple[int, int, int], flips: tuple[bool, ...]) -> None:
    letters = "".join(pair[flip] for pair, flip in zip(("LR", "PA", "SI"), flips, strict=True))
    assert out_of_scope(View(size, (1, 1, 1), letters), CARD) == out_of_scope(View(size, (1, 1, 1), "LPS"), CARD)


@given(size=st.tuples(*[st.integers(1, 300)] * 3))
def test_what_headers_alone_exclude_the_whole_image_excludes_too(size: tuple[int, int, int]) -> None:
    """Headers may count time points as slices, so these are unknown before the image is read."""
    if out_of_scope(View((None, *size[1:]), (1, 1, 1), "LPS"), CARD) is not None:
        assert out_of_scope(View(size, (1, 1, 1), "LPS"), CARD) is not None
