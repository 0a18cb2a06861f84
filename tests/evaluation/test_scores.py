"""Counts and means by hand. A mean that drops an empty image would show here."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segcli.evaluation.scores import CaseScore, LabelScore, score_case
from segcli.evaluation.summary import emptiness, summarise

LABELS = {1: "a", 2: "b"}


def masks() -> tuple[np.ndarray, np.ndarray]:
    """Three slices of 4 × 4. a: 4 predicted, 6 true, 3 in common. b: 2 predicted on the empty last slice, none true."""
    predicted, reference = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)
    reference[0, 0, :3] = reference[1, 0, :3] = 1
    predicted[0, 0, :3] = predicted[0, 1, 0] = 1
    predicted[2, 3, :2] = 2
    return predicted, reference


def test_overlap_of_a_4_by_4_by_hand() -> None:
    a = score_case("x", *masks(), LABELS, voxel=2.0).labels["a"]
    assert (a.predicted, a.reference, a.common) == (4, 6, 3)
    assert a.dice == pytest.approx(2 * 3 / (4 + 6))
    assert a.iou == pytest.approx(3 / 7)
    assert a.volume(a.predicted) == 8.0


def test_what_is_drawn_on_a_slice_counts_whatever_its_label() -> None:
    case = score_case("x", *masks(), LABELS)
    assert case.slice_predicted.tolist() == [4, 0, 2]
    assert case.slice_reference.tolist() == [3, 3, 0]


def test_a_label_neither_mask_holds_has_no_dice_and_one_only_predicted_has_0() -> None:
    assert LabelScore(0, 0, 0).dice is None
    assert LabelScore(0, 0, 0).iou is None
    assert LabelScore(2, 0, 0).dice == 0
    assert LabelScore(0, 5, 0).dice == 0


def test_numbers_no_label_names_are_background() -> None:
    case = score_case("x", np.full((1, 2, 2), 9), np.zeros((1, 2, 2)), LABELS)
    assert case.predicted == 0


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="prediction"):
        score_case("x", np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), LABELS)


def case(predicted: int, reference: int, common: int, voxel: float | None = 1.0) -> CaseScore:
    label = LabelScore(predicted, reference, common, voxel)
    return CaseScore("x", {"a": label}, np.array([predicted]), np.array([reference]), voxel)


def test_empty_images_do_not_enter_the_dice_but_are_never_dropped() -> None:
    found = summarise([case(10, 10, 10), case(0, 10, 0), case(7, 0, 0), case(0, 0, 0)])
    a = found["labels"]["a"]
    assert (a["dice"], a["dice_worst"]) == (0.5, 0.0)
    assert a["dice_with_empty"] == (1 + 0 + 0 + 1) / 4
    assert (a["cases_with_label"], a["cases_without_label"]) == (2, 2)
    assert (a["false_positive_cases"], a["missed_cases"]) == (1, 1)
    assert a["volume_error_mm3"] == 5.0
    images = found["images"]
    assert (images["empty"], images["specificity"], images["sensitivity"]) == (2, 0.5, 0.5)
    assert json.loads(json.dumps(found)) == found


def test_false_positives_on_empty_images_by_hand() -> None:
    found = emptiness([(0, pixels, 2.0) for pixels in (0, 0, 0, 4, 16)] + [(9, 100, 2.0)])
    assert (found["empty"], found["empty_with_false_positive"], found["specificity"]) == (5, 2, 0.6)
    assert found["false_positive_pixels"] == {"mean": 4.0, "median": 0.0, "p95": 13.6, "total": 20.0}
    assert found["false_positive_mm3"]["total"] == 40.0
    assert (found["with_label"], found["missed"]) == (1, 0)


def test_without_a_spacing_there_are_pixels_only() -> None:
    found = emptiness([(0, 3, None), (0, 1, 2.0)])
    assert found["false_positive_mm3"] is None
    assert found["false_positive_pixels"]["total"] == 4


def test_without_empty_images_nothing_is_said_of_them() -> None:
    found = emptiness([(1, 1, 1.0)])
    assert found["specificity"] is None
    assert found["false_positive_pixels"] is None
