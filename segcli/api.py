"""The Python way in: ``segcli.segment`` for an image in memory, ``segcli.predict`` for folders. See docs/python.md."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import NDArray

from segcli.batch.observer import RunObserver
from segcli.batch.plan import check_folders, default_output
from segcli.batch.run import run
from segcli.batch.tools import Interrupt, Tools
from segcli.catalog import load_catalog
from segcli.checked_settings import check_settings, refuse_of_folders, settings_from
from segcli.engine.model import LoadedModel
from segcli.engine.model import load_model as load_from_catalog
from segcli.engine.scope import parts_out_of_scope
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UnsupportedError, UsageError
from segcli.image import LabelMap
from segcli.in_memory import take
from segcli.outcome import Report
from segcli.settings import PredictSettings

if TYPE_CHECKING:  # neither library is imported for an array
    from nibabel.filebasedimages import FileBasedImage
    from nibabel.nifti1 import Nifti1Image
    from SimpleITK import Image as SimpleITKImage


def load_model(model: str | Path, *, plugins_only: Collection[str] | None = None) -> LoadedModel:
    """A model to segment many images with: a plugin's name, or a model folder (any Path, or a text with a separator).

    ``plugins_only``: names of the plugins that may be imported, None for all.

    Raises ModelError or PluginError saying what of it cannot be used.
    """
    if not isinstance(model, str | Path):
        raise UsageError(f"a model is a name, a folder or a loaded model, not a {type(model).__name__}")
    folder = os.path.join(model, "") if isinstance(model, Path) else model  # noqa: PTH118 - a Path drops the separator
    return load_from_catalog(folder, load_catalog(_names(plugins_only)))


@overload
def segment(
    image: NDArray[Any],
    model: str | Path | LoadedModel,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    settings: PredictSettings | None = None,
) -> LabelMap: ...


@overload
def segment(
    image: FileBasedImage,
    model: str | Path | LoadedModel,
    *,
    spacing: tuple[float, ...] | None = None,
    settings: PredictSettings | None = None,
) -> Nifti1Image: ...


@overload  # mypy is set not to follow SimpleITK and nibabel into their libraries, so here both are Any
def segment(  # type: ignore[overload-cannot-match]
    image: SimpleITKImage,
    model: str | Path | LoadedModel,
    *,
    spacing: tuple[float, ...] | None = None,
    settings: PredictSettings | None = None,
) -> SimpleITKImage: ...


def segment(
    image: Any,
    model: str | Path | LoadedModel,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    settings: PredictSettings | None = None,
) -> Any:
    """Segment one image; the mask of a file that :func:`predict` would write, on the grid of the image.

    ``image``: a NumPy array (the result is a :class:`segcli.LabelMap`, ``[slice, row, column]``), a NIfTI image of
    nibabel (a NIfTI image with its affine) or a SimpleITK image (one with its spacing, direction and origin).
    ``axes``: of an array, letters of Z (slices), C (channels), Y (rows) and X (columns); may be left out for
    ``[row, column]`` and for slices that cannot be colours. ``spacing``: mm between rows, columns[, slices], for an
    image that states none. ``model``: as :func:`load_model`, or what that gave.

    What the report of a run would warn of is a UserWarning. Raises the errors of :mod:`segcli.errors`.
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    settings = PredictSettings() if settings is None else settings
    if not isinstance(settings, PredictSettings):
        raise UsageError(f"settings is a segcli.PredictSettings, not a {type(settings).__name__}")
    if spacing is not None:
        settings = replace(settings, spacing=_spacing(spacing))
    check_settings(settings)
    refuse_of_folders(settings)
    given = take(image, axes, loaded.card, settings)
    if spacing is not None and any(part.geometry.spacing is not None for part in given.parts):
        raise UsageError("the image states its own spacing: leave spacing out, or correct the image")
    outside = parts_out_of_scope(given.parts, loaded.card, settings.spacing)
    if outside is not None and not settings.any_scope:
        raise UnsupportedError(f"{outside} (any_scope=True in the settings segments it all the same)")
    segmenter = Segmenter(loaded.network, loaded.card, settings)
    ((_, result),) = segmenter.segment([("image", given.parts)])
    if isinstance(result, CaseError):
        raise result
    remarks = (*given.warnings, *result.warnings)
    if settings.strict and remarks:
        raise UnsupportedError(f"strict: {remarks[0]}")
    for remark in (*remarks, *(() if outside is None else (outside,))):
        warnings.warn(remark, stacklevel=2)
    return given.back(result.masks)


def predict(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    model: str | Path | LoadedModel,
    **options: Any,
) -> Report:
    """Segment every image below a folder (or several, or files) as ``segcli predict`` does, without a console.

    ``output``: folder of the masks; may be left out for one input, as there. ``options``: fields of
    :class:`segcli.PredictSettings`. No signal handler is set; an interrupt writes the report and goes on.

    Returns the report, whatever became of the cases (``report.exit_code`` is the command's). Raises UsageError, and
    its kinds, before anything is started.
    """
    one = isinstance(inputs, str | bytes) or not isinstance(inputs, Sequence)
    given: Sequence[Any] = (inputs,) if one else list(inputs)  # type: ignore[arg-type]
    paths = [_path(path) for path in given]
    if not paths:
        raise UsageError("no input: give a folder or a file")
    if output is None and len(paths) > 1:
        raise UsageError("several inputs need an output folder")
    settings = settings_from(options)
    target = default_output(paths[0]) if output is None else _path(output)
    check_folders(paths, target)
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    return run(paths, target, loaded, settings, RunObserver(), Interrupt(), Tools())


def _names(given: Any) -> Collection[str] | None:
    if given is None or (isinstance(given, Collection) and not isinstance(given, str | bytes)):
        return given
    raise UsageError(f"plugins_only={given!r} is no list of names")


def _path(given: Any) -> Path:
    if not isinstance(given, str | Path):
        raise UsageError(f"{given!r} is no path, but a {type(given).__name__}")
    return Path(given)


def _spacing(stated: Any) -> tuple[float, ...]:
    try:
        return tuple(float(step) for step in stated)
    except (TypeError, ValueError) as error:
        raise UsageError(f"spacing={stated!r} is not two or three positive numbers (mm)") from error
