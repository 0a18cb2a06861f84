"""Settings that come from Python instead of the command line, where click has looked at every value."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from segcli.errors import UsageError
from segcli.settings import MAX_TILES, PredictSettings


def settings_from(options: Mapping[str, Any]) -> PredictSettings:
    """Settings of these options. Raises UsageError naming one that does not exist or has no sense."""
    known = [item.name for item in fields(PredictSettings)]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise UsageError(f"there is no option {name!r}" + (f": did you mean {near[0]}?" if near else ""))
    settings = PredictSettings(**options)
    check_settings(settings)
    return settings


def check_settings(settings: PredictSettings) -> None:
    """Raise UsageError naming the first value that the command line would refuse too."""
    hints = get_type_hints(PredictSettings)
    for item in fields(PredictSettings):
        value = getattr(settings, item.name)
        if not _fits(value, hints[item.name]) or not (value is None or _WITHIN.get(item.name, _always)(value)):
            example = f", it wants for example {_EXAMPLES[item.name]}" if item.name in _EXAMPLES else ""
            raise UsageError(f"{item.name}={value!r} makes no sense{example}: see docs/predict.md for what it may be")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the annotated type; unlike ``isinstance``, True is no number and 1 is one."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return type(value) is str and value in parts
    if origin is tuple:
        kinds = [parts[0]] * len(value) if isinstance(value, tuple) and parts[-1] is Ellipsis else parts
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint in (int, float):
        kind = int | float if hint is float else int
        return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint)


def _always(_: Any) -> bool:
    return True


_WITHIN: Mapping[str, Callable[[Any], bool]] = {
    "batch": lambda value: 1 <= value <= MAX_TILES,
    "overlap": lambda value: 0 <= value <= 0.75,
    "gate": lambda value: isinstance(value, str) or 0 <= value < 1,
    "memory": lambda value: value >= 1,
    "max_pixels": lambda value: value >= 1,
    "spacing": lambda value: len(value) in (2, 3) and all(0 < step < 1e4 for step in value),
    "settle": lambda value: value >= 0,
    "case_timeout": lambda value: value >= 1,
    "shard": lambda value: 1 <= value[0] <= value[1],
}

_EXAMPLES = {
    "batch": "8, or None for auto",
    "memory": "2 * 1024**3, a number of bytes",
    "select": '(("Modality", "MR"),)',
    "spacing": "(0.5, 0.5)",
    "channel": '"0"',
    "shard": "(1, 8)",
}
"""How values look that are written otherwise on the command line."""

OF_FOLDERS = (
    "any_modality", "case_timeout", "dicom_deflate", "dicom_seg", "follow_links", "overwrite", "png_mask", "private",
    "rebuild", "retry_failed", "select", "settle", "shard", "verify",
)  # fmt: skip
"""Settings of a run over files, which mean nothing for an image in memory."""


def refuse_of_folders(settings: PredictSettings) -> None:
    """Raise UsageError for a setting that one image in memory would swallow."""
    usual = PredictSettings()
    for name in OF_FOLDERS:
        if getattr(settings, name) != getattr(usual, name):
            raise UsageError(f"settings: {name} is for folders of files, not for an image in memory: leave it out")
