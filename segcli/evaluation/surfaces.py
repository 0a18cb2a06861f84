"""Distances between surfaces, by MONAI (the extra ``[evaluate]``): 95 % Hausdorff distance and normalised surface Dice.

HD95: Taha and Hanbury 2015; the larger of the two directed 95th percentiles over edge pixels. NSD: Nikolov et al. 2018,
with edges weighed by their length (2-D) or area (3-D).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.evaluation.scores import CaseScore, LabelScore

PERCENTILE = 95.0
MISSING = "HD95 and NSD need MONAI: pip install 'segcli[evaluate]', or leave them out with --no-surface"


def is_available() -> bool:
    """Whether MONAI and SciPy are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("monai", "scipy"))


def with_surfaces(
    score: CaseScore,
    masks: tuple[NDArray[Any], NDArray[Any]],
    labels: Sequence[tuple[int, str]],
    spacing: Sequence[float],
    tolerance: float,
) -> CaseScore:
    """``score`` with HD95 and NSD of each label.

    ``masks``: prediction and reference, label numbers ``[slice, row, column]``. ``spacing``: mm (or pixels) between
    slices, rows, columns; a single slice is measured in its plane. ``tolerance``: of NSD, in the same unit.
    """
    flat = masks[0].shape[0] == 1
    predicted, reference = (mask[0] if flat else mask for mask in masks)
    steps = tuple(spacing[1:]) if flat else tuple(spacing)
    found: dict[str, LabelScore] = dict(score.labels)
    for value, name in labels:
        a, b = predicted == value, reference == value
        if a.any() or b.any():
            found[name] = replace(found[name], hd95=hd95(a, b, steps), nsd=nsd(a, b, steps, tolerance))
    return replace(score, labels=found)


def hd95(predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float]) -> float | None:
    """mm; None if one of the masks is empty, for there is no distance to nothing. ``[*spatial]`` bool."""
    if not (predicted.any() and reference.any()):
        return None
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # noqa: PLC0415 - takes seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's own calls to what it deprecates
        value = compute_hausdorff_distance(
            _batch(predicted), _batch(reference), include_background=True, percentile=PERCENTILE, spacing=list(spacing)
        )
    return float(value)


def nsd(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], tolerance: float
) -> float | None:
    """0 to 1; 0 if only one of the masks is empty, None if both are. ``[*spatial]`` bool."""
    if not (predicted.any() and reference.any()):
        return 0.0 if predicted.any() or reference.any() else None
    from monai.metrics.surface_dice import compute_surface_dice  # noqa: PLC0415 - takes seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = compute_surface_dice(
            _batch(predicted),
            _batch(reference),
            [tolerance],
            include_background=True,
            spacing=list(spacing),
            use_subvoxels=True,
        )
    return float(value)


def _batch(mask: NDArray[np.bool_]) -> Any:
    import torch  # noqa: PLC0415

    # a border of background: an edge lies between two pixels, also at the rim of the image
    return torch.from_numpy(np.pad(mask, 1).astype(np.float32))[None, None]
