"""The Python way in: ``segcli.segment(array, model, spacing=...)``."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.catalog import load_catalog
from segcli.engine.model import LoadedModel, load_model
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UnsupportedError, UsageError
from segcli.formats.finite import hide_non_finite
from segcli.image import Geometry, Image, LabelMap
from segcli.settings import PredictSettings


def segment(
    array: NDArray[Any],
    model: str | Path | LoadedModel,
    *,
    spacing: tuple[float, ...] | None = None,
    settings: PredictSettings | None = None,
) -> LabelMap:
    """Segment one image.

    ``array``: ``[row, column]``, ``[slice, row, column]`` or ``[slice, channel, row, column]``, any real dtype, in the
    orientation the model expects; what is not finite is background, as in a file. ``spacing``: mm between rows,
    columns[, slices]. ``model``: a plugin's name, a model folder (any Path, or a text with a separator), or a model
    loaded once with :func:`segcli.engine.model.load_model`.

    Returns the label map ``[slice, row, column]``; what the report of a run would warn of is a UserWarning. Raises
    UsageError for a senseless spacing and the other errors of :mod:`segcli.errors`.
    """
    if array.ndim not in (2, 3, 4) or array.dtype.kind not in "buif" or not array.size:
        raise UnsupportedError(
            "the array must hold real numbers as [row, column], [slice, row, column] or [slice, channel, row, column]"
        )
    if spacing is not None and not (len(spacing) in (2, 3) and all(0 < step < math.inf for step in spacing)):
        raise UsageError(f"spacing {spacing} is not two or three positive numbers (mm)")
    pixels = array.reshape((1,) * (3 - array.ndim) + array.shape)[:, np.newaxis] if array.ndim < 4 else array
    if not isinstance(model, LoadedModel):
        folder = os.path.join(model, "") if isinstance(model, Path) else model  # noqa: PTH118 - a Path drops the separator
        model = load_model(folder, load_catalog())
    loaded = model
    if pixels.shape[1] != len(loaded.card.channels):
        raise UnsupportedError(
            f"the model wants {len(loaded.card.channels)} channel(s), the array has {pixels.shape[1]}"
        )
    settings = settings or PredictSettings()
    if spacing is not None:
        settings = replace(settings, spacing=spacing)
    pixels, valid, remarks = hide_non_finite(pixels)
    segmenter = Segmenter(loaded.network, loaded.card, settings)
    ((_, result),) = segmenter.segment([("array", (Image(pixels, Geometry(), valid),))])
    if isinstance(result, CaseError):
        raise result
    for remark in (*remarks, *result.warnings):
        warnings.warn(remark, stacklevel=2)
    return result.masks[0]
