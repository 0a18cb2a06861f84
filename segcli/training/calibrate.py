"""Choosing the gate's thresholds from validation patients, and saying how sure they are.

A threshold decides which tiles never reach the decoder, so it is chosen for what it loses: (nearly) no positive crop.
Crops of one patient are alike; therefore patients are resampled, and the lower end of what comes out is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from segcli.contract import EmptyFilter, Gate

SENSITIVITY = 0.999
"""Positive crops the threshold must keep: none may be lost below 1,000 of them."""
CONFIDENCE = 0.95
FEWEST_POSITIVES = 200
LEAST_AUROC = 0.98
RESAMPLES = 1000


@dataclass(frozen=True)
class Calibration:
    """``gate`` is None where the validation set cannot carry one; ``reason`` then says why, else it is empty.

    For a network without a presence head ``empty_filter`` stands in the place of the gate.
    """

    gate: Gate | None
    reason: str
    empty_filter: EmptyFilter | None = None


def calibrate_gate(
    probability: NDArray[np.float64],
    present: NDArray[np.bool_],
    patient: NDArray[np.int64],
    seed: int = 0,
    *,
    what: str = "Gate",
    wanted: str = "labelled crops",
) -> Calibration:
    """Thresholds per label from validation crops (never from test crops).

    ``probability``: ``[crop, label]``, sigmoid of the presence logits, 0 to 1. ``present``: ``[crop, label]``, is any
    pixel of that label in the crop. ``patient``: ``[crop]``. ``what``, ``wanted``: words of the reason. Raises
    ValueError if the shapes do not agree.
    """
    if probability.shape != present.shape or patient.shape != probability.shape[:1]:
        raise ValueError("probability and present are [crop, label], patient is [crop]")
    positives = [int(count) for count in present.sum(axis=0)]
    if min(positives) < FEWEST_POSITIVES:
        return Calibration(None, not_calibrated(f"needs {FEWEST_POSITIVES} {wanted}, found {min(positives)}", what))
    areas = [auroc(p[y], p[~y]) for p, y in zip(probability.T, present.T, strict=True)]
    if not min(areas) >= LEAST_AUROC:
        return Calibration(None, not_calibrated(f"needs an AUROC of {LEAST_AUROC}, found {min(areas):.3f}", what))
    labels = list(zip(probability.T, present.T, strict=True))
    thresholds = [round_down(resampled_threshold(p[y], patient[y], seed)) for p, y in labels]
    kept = [int((p[y] >= tau).sum()) for tau, (p, y) in zip(thresholds, labels, strict=True)]
    turned_away: NDArray[np.bool_] = np.all(probability < np.array(thresholds), axis=1)
    empty: NDArray[np.bool_] = ~np.any(present, axis=1)
    gate = Gate(
        threshold=tuple(thresholds),
        positives=tuple(positives),
        patients=tuple(len(np.unique(patient[y])) for _, y in labels),
        sensitivity=tuple(hits / count for hits, count in zip(kept, positives, strict=True)),
        lower_bound=tuple(
            clopper_pearson_lower(hits, count, CONFIDENCE) for hits, count in zip(kept, positives, strict=True)
        ),
        auroc=tuple(areas),
        gated_empty=float(turned_away[empty].mean()) if empty.any() else 0.0,
    )
    return Calibration(gate, "")


def not_calibrated(why: str, what: str = "Gate") -> str:
    """Why there is no gate, for somebody who might take it for a failure."""
    return f"{what} not calibrated ({why}). The model is complete."


def calibrate_filter(
    score: NDArray[np.float64], present: NDArray[np.bool_], patient: NDArray[np.int64], top_k: int, seed: int = 0
) -> Calibration:
    """An empty filter by the rule of the gate; what was a crop is a slice (of a 3-D model: a stack).

    ``score``: ``[slice, label]``, mean of the ``top_k`` highest probabilities. The rest as :func:`calibrate_gate`.
    """
    found = calibrate_gate(score, present, patient, seed, what="Empty filter", wanted="labelled slices")
    if found.gate is None:
        return found
    values = {item.name: getattr(found.gate, item.name) for item in fields(found.gate)}
    return Calibration(None, "", EmptyFilter(top_k=top_k, emptied_empty=values.pop("gated_empty"), **values))


def resampled_threshold(
    scores: NDArray[np.float64], patient: NDArray[np.int64], seed: int = 0, sensitivity: float = SENSITIVITY
) -> float:
    """The 5th percentile, over bootstrap samples of patients, of the largest threshold that keeps ``sensitivity``.

    ``scores``: presence probabilities of the positive crops of one label. Never above the threshold of all crops.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    names, owner = np.unique(patient[order], return_inverse=True)
    draw = np.random.default_rng(seed)
    found = [_largest_threshold(ranked, np.ones(len(ranked)), sensitivity)]
    for _ in range(RESAMPLES):
        times = np.bincount(draw.integers(0, len(names), len(names)), minlength=len(names))
        found.append(_largest_threshold(ranked, times[owner].astype(np.float64), sensitivity))
    return min(found[0], float(np.quantile(found, 0.05)))


def _largest_threshold(ranked: NDArray[np.float64], weight: NDArray[np.float64], sensitivity: float) -> float:
    """The score of the first crop, from below, that may not be lost; crops count ``weight`` times."""
    total = weight.sum()
    allowed = math.floor(total * (1 - sensitivity) + 1e-9)
    first = int(np.searchsorted(np.cumsum(weight), allowed, side="right"))
    return float(ranked[min(first, len(ranked) - 1)])


def round_down(value: float) -> float:
    """``value`` cut to two significant digits: other batches round differently, the threshold must not depend on it."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    cut = float(f"{math.floor(value / unit) * unit:.2g}")
    return cut if cut < value else max(0.0, float(f"{cut - unit:.2g}"))


def auroc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Chance that a positive crop scores above a negative one, ties counted half; NaN if either is missing."""
    if not len(positive) or not len(negative):
        return math.nan
    ranked = np.sort(negative)
    below = np.searchsorted(ranked, positive, side="left")
    at_most = np.searchsorted(ranked, positive, side="right")
    return float((below + at_most).sum() / (2 * len(positive) * len(negative)))


def clopper_pearson_lower(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """One-sided lower bound of a proportion (Clopper and Pearson 1934): ``P(X ≥ hits | bound) = 1 − confidence``.

    Raises ValueError unless ``0 ≤ hits ≤ trials`` and ``trials > 0``.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} hits in {trials} trials")
    if hits == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _upper_tail(hits, trials, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def _upper_tail(hits: int, trials: int, p: float) -> float:
    """``P(X ≥ hits)`` of a binomial distribution, ``0 < p < 1``."""
    log_all = math.lgamma(trials + 1)
    terms = (
        math.exp(
            log_all - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * math.log(p) + (trials - k) * math.log1p(-p)
        )
        for k in range(hits, trials + 1)
    )
    return math.fsum(terms)
