"""The Python way in: ``segcli.segment(array, model, spacing=...)``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.catalog import load_catalog
from segcli.engine.model import LoadedModel, load_model
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UnsupportedError
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
    orientation the model expects. ``spacing``: mm between rows, columns[, slices]. ``model``: a plugin's name, a
    model folder, or a model loaded once with :func:`segcli.engine.model.load_model`.

    Returns the label map ``[slice, row, column]``. Raises the errors of :mod:`segcli.errors`.
    """
    if array.ndim not in (2, 3, 4) or not (np.isrealobj(array) and array.size):
        raise UnsupportedError("the array must be [row, column], [slice, row, column] or [slice, channel, row, column]")
    pixels = array.reshape((1,) * (3 - array.ndim) + array.shape)[:, np.newaxis] if array.ndim < 4 else array
    loaded = model if isinstance(model, LoadedModel) else load_model(str(model), load_catalog())
    if pixels.shape[1] != len(loaded.card.channels):
        raise UnsupportedError(
            f"the model wants {len(loaded.card.channels)} channel(s), the array has {pixels.shape[1]}"
        )
    settings = settings or PredictSettings()
    if spacing is not None:
        settings = replace(settings, spacing=spacing)
    segmenter = Segmenter(loaded.network, loaded.card, settings)
    ((_, result),) = segmenter.segment([("array", (Image(pixels, Geometry()),))])
    if isinstance(result, CaseError):
        raise result
    return result.masks[0]
