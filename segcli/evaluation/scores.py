"""What is counted of one case: overlap and volume of each label, and what lies on each slice.

Nothing is averaged here, and nothing dropped: a label that neither mask holds has no Dice, but it is still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelScore:
    """One label of one case. Counts in pixels; ``voxel`` mm³ of one, None where the source does not say.

    ``hd95``: mm (pixels without a spacing), None unless both masks hold the label. ``nsd``: 0 to 1, None if neither
    does or it was not asked for.
    """

    predicted: int
    reference: int
    common: int
    voxel: float | None = None
    hd95: float | None = None
    nsd: float | None = None

    @property
    def dice(self) -> float | None:
        """2·|A∩B| / (|A| + |B|); 0 where only one mask holds the label, None where neither does."""
        total = self.predicted + self.reference
        return 2 * self.common / total if total else None

    @property
    def iou(self) -> float | None:
        """|A∩B| / |A∪B|; None where neither mask holds the label."""
        union = self.predicted + self.reference - self.common
        return self.common / union if union else None

    def volume(self, pixels: int) -> float | None:
        """mm³ of so many pixels."""
        return None if self.voxel is None else pixels * self.voxel


@dataclass(frozen=True)
class CaseScore:
    """One case. ``slice_predicted``, ``slice_reference``: int ``[slice]``, pixels of any label on each slice.

    ``id``: what it is called where its name may not be shown.
    """

    name: str
    labels: Mapping[str, LabelScore]
    slice_predicted: NDArray[np.int64]
    slice_reference: NDArray[np.int64]
    voxel: float | None = None
    notes: tuple[str, ...] = field(default=())
    id: str = ""

    @property
    def predicted(self) -> int:
        """Pixels of any label in the prediction."""
        return int(self.slice_predicted.sum())

    @property
    def reference(self) -> int:
        """Pixels of any label in the reference; 0: an empty image."""
        return int(self.slice_reference.sum())


def score_case(
    name: str,
    predicted: NDArray[Any],
    reference: NDArray[Any],
    labels: Mapping[int, str],
    voxel: float | None = None,
) -> CaseScore:
    """Count. ``predicted`` and ``reference``: label numbers ``[slice, row, column]``; ``labels``: number → name.

    Numbers that ``labels`` does not name are background. Raises ValueError if the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"prediction {predicted.shape} and reference {reference.shape}")
    values = list(labels)
    found, true = np.isin(predicted, values), np.isin(reference, values)
    scores = {}
    for value, label in labels.items():
        a, b = predicted == value, reference == value
        scores[label] = LabelScore(int(a.sum()), int(b.sum()), int((a & b).sum()), voxel)
    return CaseScore(name, scores, found.sum(axis=(1, 2)), true.sum(axis=(1, 2)), voxel)
