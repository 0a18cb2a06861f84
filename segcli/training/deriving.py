"""The card a data set asks for: channels, labels, orientation, spacing, tile, intensity. Options override each."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segcli.card_json import SCHEMA
from segcli.contract import Intensity, Label, ModelCard
from segcli.errors import UsageError
from segcli.image import Image
from segcli.orientation import axis_order
from segcli.pairing.layout import Layout
from segcli.training.examples import Example
from segcli.training.options import CardOptions

USUAL_ORIENTATION = {"S": "LPS", "I": "LPS", "P": "LIP", "A": "LIP", "L": "PIL", "R": "PIL"}
"""Towards where slices follow each other → the orientation in which such slices are usually shown."""
MULTIPLE = 16
LARGEST_TILE = {2: 256, 3: 96}
"""Pixels of a side: what a machine without a GPU trains on with its memory."""
MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "T1": "MR", "T2": "MR", "FLAIR": "MR", "PET": "PT", "US": "US"}
WINDOW_PERCENTILES = (0.5, 99.5)
RGB = ("R", "G", "B")
UNNAMED = "label {}"
"""What a label is called that nothing names."""
_FIRST_COLORS = ((255, 170, 0), (0, 150, 255), (60, 200, 90), (220, 60, 90), (160, 90, 220), (240, 230, 60))


def derive_card(
    examples: Sequence[Example], values: Sequence[int], layout: Layout, options: CardOptions, plugin: str
) -> ModelCard:
    """The card for these examples (those to train on). ``values``: the label numbers. No gate, no metrics yet.

    Raises UsageError where an option does not make sense.
    """
    dims = options.dims or 2
    parts = [part for example in examples for part in example.parts]
    orientation = options.orientation or _orientation(parts)
    spacing = options.spacing or _spacing(parts, dims, orientation)
    tile = options.tile or _tile(parts, dims, orientation, spacing)
    if len(tile) != dims or (spacing is not None and len(spacing) != dims):
        raise UsageError(f"--tile and --spacing have {dims} numbers for a {dims}-D model")
    context = options.context_slices or 0
    stack = _spacing(parts, 3, orientation) if context and dims == 2 else None
    if stack is not None and spacing is not None:  # how far away the neighbours were that it learnt from
        spacing = (stack[0], *spacing)
    channels = options.channels or layout.channels or default_channels(parts[0].shape[1])
    modality = options.modality or _modality(examples, channels)
    names = {**(layout.labels or {}), **options.labels}
    return ModelCard(
        plugin=plugin,
        name=options.name or layout.name,
        version="1.0.0",
        license=layout.license or "unstated",
        attribution=layout.attribution,
        spatial_dims=dims,
        channels=channels,
        modality=modality,
        labels=tuple(
            Label(value, names.get(value, UNNAMED.format(value)), color(index)) for index, value in enumerate(values)
        ),
        tile=tile,
        overlap=tuple(side // 4 for side in tile),
        margin=(0,) * dims,
        activation=options.activation or "softmax",  # type: ignore[arg-type]
        intensity=intensity_of(options.intensity, modality, examples),
        context_slices=context,
        spacing=spacing,
        orientation=orientation,
        plugin_options=dict(options.plugin_options),
        schema=SCHEMA,
    )


def default_channels(count: int) -> tuple[str, ...]:
    """Names where nothing states them."""
    return {1: ("image",), 3: RGB}.get(count, tuple(f"channel {number}" for number in range(count)))


def color(index: int) -> tuple[int, int, int]:
    """Distinct colours, the first ones easy to tell apart for most people."""
    if index < len(_FIRST_COLORS):
        return _FIRST_COLORS[index]
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def intensity_of(stated: str | None, modality: str | None, examples: Sequence[Example]) -> Intensity:
    """The stated kind; else for CT a window of what lies under the masks, and z-score a case for everything else."""
    if stated is None:
        if modality != "CT":
            return Intensity("zscore", "case")
        low, high = np.percentile(_under_masks(examples), WINDOW_PERCENTILES)
        return Intensity("window", "case", low=float(round(low)), high=float(max(round(high), round(low) + 1)))
    kind, _, rest = stated.partition(":")
    try:
        if kind in ("window", "percentile"):
            low, high = (float(number) for number in rest.split(","))
            return Intensity(kind, "case", low=low, high=high)  # type: ignore[arg-type]
        if kind in ("zscore", "none") and rest in ("", "case", "slice"):
            return Intensity(kind, "slice" if rest == "slice" else "case")  # type: ignore[arg-type]
    except ValueError:
        pass
    raise UsageError(
        f"--intensity {stated}: use zscore, zscore:slice, window:LOW,HIGH, percentile:LOW,HIGH or none"
    )  # fmt: skip


def merged(card: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Card fields with those of a ``--card`` file in their place; ``plugin_options`` are merged one by one."""
    result = {**card, **override}
    if isinstance(override.get("plugin_options"), dict):
        result["plugin_options"] = {**card["plugin_options"], **override["plugin_options"]}
    return result


def _orientation(parts: Sequence[Image]) -> str | None:
    stated = Counter(part.geometry.orientation for part in parts)
    letters = stated.most_common(1)[0][0]
    return None if letters is None else USUAL_ORIENTATION[letters[2]]


def _axes(part: Image, orientation: str | None) -> tuple[int, int, int]:
    """Which stored axis (slice, row, column) becomes which of the card's."""
    have = part.geometry.orientation
    if have is None or orientation is None:
        return 0, 1, 2
    return axis_order(have, orientation)


def _steps(part: Image, orientation: str | None) -> tuple[float | None, ...]:
    geometry = part.geometry
    steps = (geometry.slice_spacing, *(geometry.spacing or (None, None)))
    return tuple(steps[axis] for axis in _axes(part, orientation))


def _spacing(parts: Sequence[Image], dims: int, orientation: str | None) -> tuple[float, ...] | None:
    found = [steps[3 - dims :] for steps in (_steps(part, orientation) for part in parts)]
    known = [steps for steps in found if None not in steps]
    if not known:
        return None
    return tuple(round(float(step), 4) for step in np.median(np.array(known, dtype=float), axis=0))


def _tile(
    parts: Sequence[Image], dims: int, orientation: str | None, spacing: tuple[float, ...] | None
) -> tuple[int, ...]:
    """The smallest multiple of 16 that holds the largest image at the card's spacing, up to a limit."""
    largest = [0.0] * dims
    for part in parts:
        stored = (part.shape[0], *part.shape[2:])
        sizes = [stored[axis] for axis in _axes(part, orientation)][3 - dims :]
        steps = _steps(part, orientation)[3 - dims :]
        for axis, (size, step) in enumerate(zip(sizes, steps, strict=True)):
            scale = step / spacing[axis] if step is not None and spacing is not None else 1.0
            largest[axis] = max(largest[axis], size * scale)
    return tuple(min(LARGEST_TILE[dims], MULTIPLE * max(1, -(-round(side) // MULTIPLE))) for side in largest)


def _modality(examples: Sequence[Example], channels: Sequence[str]) -> str | None:
    stated = {example.modality for example in examples}
    if len(stated) == 1 and None not in stated:
        return stated.pop()
    named = {MODALITIES.get(channel.upper()) for channel in channels}
    return named.pop() if len(named) == 1 else None


def _under_masks(examples: Sequence[Example]) -> Any:
    values = [
        part.pixels[:, 0][labels > 0].ravel()[:: max(1, int((labels > 0).sum()) // 10_000)]
        for example in examples
        for part, labels in zip(example.parts, example.labels, strict=True)
        if labels.any()
    ]
    return np.concatenate(values) if values else np.array([0.0, 1.0])
