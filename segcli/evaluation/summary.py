"""What many cases say together, as JSON values: overlap over cases that hold a label, and what is drawn on empty ones.

A mean Dice over cases with a label cannot see a false positive on an empty image, and one that drops empty images hides
it; so empty images and empty slices have figures of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segcli.evaluation.scores import CaseScore, LabelScore


def summarise(cases: Sequence[CaseScore]) -> dict[str, Any]:
    """``labels``, ``dice`` (mean over cases, then labels), ``images`` and ``slices`` (see :func:`emptiness`)."""
    names = list(dict.fromkeys(name for case in cases for name in case.labels))
    labels = {name: summarise_label([case.labels[name] for case in cases if name in case.labels]) for name in names}
    dice = [each["dice"] for each in labels.values() if each["dice"] is not None]
    images = [(case.reference, case.predicted, case.voxel) for case in cases]
    slices = [
        (int(true), int(found), case.voxel)
        for case in cases
        for true, found in zip(case.slice_reference, case.slice_predicted, strict=True)
    ]
    return {
        "cases": len(cases),
        "dice": rounded(float(np.mean(dice))) if dice else None,
        "labels": labels,
        "images": emptiness(images),
        "slices": emptiness(slices),
    }


def summarise_label(scores: Sequence[LabelScore]) -> dict[str, Any]:
    """Means over the cases whose reference holds the label; ``*_worst`` the worst of them; empty ones are counted.

    ``dice_with_empty``: over all cases, an empty reference counting 1 if nothing is predicted and 0 otherwise.
    """
    holding = [score for score in scores if score.reference]
    empty = [score for score in scores if not score.reference]
    false = sum(score.predicted > 0 for score in empty)
    dice = _values(holding, lambda score: score.dice)
    everything = dice + [float(score.predicted == 0) for score in empty]
    volumes = [score.volume(score.predicted - score.reference) for score in holding]
    known = [abs(volume) for volume in volumes if volume is not None]
    hd95 = _values(holding, lambda score: score.hd95)
    nsd = _values(holding, lambda score: score.nsd)
    return {
        "cases_with_label": len(holding),
        "cases_without_label": len(empty),
        "false_positive_cases": false,
        "missed_cases": sum(score.predicted == 0 for score in holding),
        "dice": _mean(dice),
        "dice_worst": rounded(min(dice)) if dice else None,
        "dice_with_empty": _mean(everything),
        "iou": _mean(_values(holding, lambda score: score.iou)),
        "hd95": _mean(hd95),
        "hd95_cases": len(hd95),
        "nsd": _mean(nsd),
        "volume_error_mm3": _mean(known),
    }


def emptiness(images: Sequence[tuple[int, int, float | None]]) -> dict[str, Any]:
    """Of images or slices, ``(reference pixels, predicted pixels, mm³ of a pixel)`` each.

    ``specificity``: share of empty ones with exactly no predicted pixel. ``sensitivity``: share of the others with any.
    ``false_positive_*``: what is drawn on empty ones, all of them counted.
    """
    empty = [(found, voxel) for true, found, voxel in images if not true]
    full = [found for true, found, _ in images if true]
    pixels = [found for found, _ in empty]
    result: dict[str, Any] = {
        "empty": len(empty),
        "empty_with_false_positive": sum(found > 0 for found in pixels),
        "specificity": rounded(sum(found == 0 for found in pixels) / len(pixels)) if pixels else None,
        "with_label": len(full),
        "missed": sum(found == 0 for found in full),
        "sensitivity": rounded(sum(found > 0 for found in full) / len(full)) if full else None,
        "false_positive_pixels": _spread([float(found) for found in pixels]),
    }
    volumes = [found * voxel for found, voxel in empty if voxel is not None]
    result["false_positive_mm3"] = _spread(volumes) if len(volumes) == len(empty) else None
    return result


def rounded(value: float) -> float:
    """To six significant digits: enough for any table, and the same on any machine."""
    return float(f"{value:.6g}")


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "mean": rounded(float(np.mean(values))),
        "median": rounded(float(np.median(values))),
        "p95": rounded(float(np.percentile(values, 95))),
        "total": rounded(float(np.sum(values))),
    }


def _values(scores: Sequence[LabelScore], of: Callable[[LabelScore], float | None]) -> list[float]:
    return [value for score in scores if (value := of(score)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return rounded(float(np.mean(values))) if values else None
