"""What a gate saves and what it loses at every threshold: the curve from which a site can choose its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.training.presence import TileScores

NAME = "gate.csv"
POINTS = 400
GATE_WORDS = ("tiles_gated", "empty_tiles_gated")


@dataclass(frozen=True)
class GateCurve:
    """One entry a threshold, ascending. ``gated``, ``gated_empty``: share of all and of empty tiles that skip the
    decoder. ``sensitivity`` ``[threshold, label]``: share of tiles with the label that keep it.
    """

    threshold: NDArray[np.float64]
    gated: NDArray[np.float64]
    gated_empty: NDArray[np.float64]
    sensitivity: NDArray[np.float64]


def gate_curve(scores: TileScores) -> GateCurve:
    """The same threshold for every label, over the range of scores that occur. NaN where nothing can be said."""
    highest = scores.probability.max(axis=1, initial=0.0)
    empty = ~scores.present.any(axis=1)
    occurring = np.unique(scores.probability)
    chosen = occurring[np.unique(np.linspace(0, max(0, len(occurring) - 1), POINTS).round().astype(int))]
    thresholds = np.unique(np.concatenate([[0.0, 0.5], chosen]))
    sensitivity = np.full((len(thresholds), scores.present.shape[1]), np.nan)
    for index, (p, holds) in enumerate(zip(scores.probability.T, scores.present.T, strict=True)):
        sensitivity[:, index] = share_at_least(p[holds], thresholds)
    return GateCurve(
        thresholds, 1 - share_at_least(highest, thresholds), 1 - share_at_least(highest[empty], thresholds), sensitivity
    )


def format_curve(curve: GateCurve, labels: Sequence[str], words: tuple[str, str] = GATE_WORDS) -> str:
    """CSV text; ``words``: what the shares of all and of empty tiles or slices are called."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["threshold", *words, *(f"sensitivity {name}" for name in labels)])
    for row in zip(curve.threshold, curve.gated, curve.gated_empty, *curve.sensitivity.T, strict=True):
        writer.writerow([f"{value:.6g}" for value in row])
    return stream.getvalue()


def share_at_least(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each threshold the share of ``values`` that reach it; NaN without values."""
    if not len(values):
        return np.full(len(thresholds), np.nan)
    below = np.searchsorted(np.sort(values), thresholds, side="left")
    return np.asarray(1 - below / len(values), dtype=np.float64)
