"""Images that lie in memory already: NumPy arrays, nibabel's NIfTI images, SimpleITK's images; nothing else.

Neither nibabel nor SimpleITK is imported here: an image of theirs can only exist where its library has been.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from segcli.contract import ModelCard
from segcli.errors import UsageError
from segcli.formats.interface import ReadRequest
from segcli.in_memory.given import Given
from segcli.settings import PredictSettings

_KINDS = "a NumPy array, a NIfTI image of nibabel or a SimpleITK image"


def take(image: Any, axes: str | None, card: ModelCard, settings: PredictSettings) -> Given:
    """Any image in memory, its channels reconciled with the card, and the way back from label maps to its own kind.

    ``axes``: of an array only. Raises UsageError for what is no image or lacks its axes, UnsupportedError for an image
    that cannot be segmented truthfully.
    """
    request = ReadRequest.of(card, settings)
    if isinstance(image, np.ndarray):
        from segcli.in_memory.arrays import take_array  # noqa: PLC0415

        return take_array(image, axes, request)
    if axes is not None:
        raise UsageError(f"axes={axes!r} is for arrays: an image of nibabel or SimpleITK knows its own")
    nibabel, simple_itk = sys.modules.get("nibabel"), sys.modules.get("SimpleITK")
    if nibabel is not None and isinstance(image, nibabel.Nifti1Pair):
        from segcli.in_memory.nifti_image import take_nifti  # noqa: PLC0415

        return take_nifti(image, card, request)
    if simple_itk is not None and isinstance(image, simple_itk.Image):
        from segcli.in_memory.itk_image import take_itk  # noqa: PLC0415

        return take_itk(image, request)
    raise UsageError(_refusal(image, nibabel))


def _refusal(image: Any, nibabel: Any) -> str:
    kind = f"{type(image).__module__}.{type(image).__qualname__}".removeprefix("builtins.")
    if isinstance(image, str) or hasattr(image, "__fspath__"):
        return f"segment takes {_KINDS}, not a path: segcli.predict segments files"
    if nibabel is not None and isinstance(image, nibabel.spatialimages.SpatialImage):
        return f"segment takes no {kind}: nibabel.Nifti1Image.from_image(image) makes a NIfTI image of it"
    if kind.startswith("torch."):
        return f"segment takes {_KINDS}, not a {kind}: give tensor.cpu().numpy()"
    if isinstance(image, list | tuple):
        return f"segment takes {_KINDS}, not a {kind}: numpy.stack makes an array of it"
    return f"segment takes {_KINDS}, not a {kind}"
