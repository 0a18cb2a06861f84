"""``config.json`` ↔ :class:`~segcli.contract.ModelCard`, strictly: an unknown, missing or senseless field is named."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from segcli import contract
from segcli.contract import EmptyFilter, Gate, ModelCard, Scope
from segcli.errors import ModelError
from segcli.orientation import is_orientation
from segcli.strict_json import parse_object

SCHEMA = 2
"""Of the cards that this segcli writes where nothing asks for an older one; it reads all from 1 on."""
SINCE = {"scope": 2}
"""Fields that older schemas do not have."""
MOST_TILE = 2**24
MOST_VALUES = 2**30
"""Pixels of a tile, and numbers that go into or come out of the network for one."""
MOST_CONTEXT = 32
MOST_LENGTH = 1e6
"""mm or pixels of a field of view."""
_MODALITY = re.compile(r"[A-Z][A-Z0-9_]{0,15}")
_BODY_PART = re.compile(r"[A-Z][A-Z0-9_ ]{0,15}")


def parse_card(text: str) -> ModelCard:
    """The card in a JSON text. Raises ModelError naming the field that is unknown, missing, mistyped or senseless."""
    try:
        value = parse_object(text)
    except ValueError as error:
        raise ModelError(f"config.json {error}") from error
    schema = value.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise ModelError(f"config.json: schema is {str(schema)[:40]}, this segcli reads schemas 1 to {SCHEMA}")
    for name, since in SINCE.items():
        if name in value and schema < since:
            raise ModelError(f"config.json: unknown field {name!r} (cards of schema {since} have it, this is {schema})")
    card = _convert(value, ModelCard, "config.json")
    check_card(card)
    return typing.cast(ModelCard, card)


def format_card(card: ModelCard) -> str:
    """The card as JSON text that :func:`parse_card` reads back as the equal card."""
    fields = dataclasses.asdict(card)
    for name in ("empty_filter", "scope"):
        if fields[name] is None:
            del fields[name]  # a field that older versions would refuse
    if card.scope is not None:
        fields["scope"] = {name: value for name, value in fields["scope"].items() if value is not None}
    return json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_card(card: ModelCard) -> None:
    """Raise ModelError if values of the card contradict each other; the message names the field."""
    for name, problem in _problems(card):
        raise ModelError(f"config.json: {name} {problem}")


def _problems(card: ModelCard) -> typing.Iterator[tuple[str, str]]:
    if card.spatial_dims not in (2, 3):
        yield "spatial_dims", "must be 2 or 3"
    for name in ("tile", "overlap", "margin"):
        if len(getattr(card, name)) != card.spatial_dims:
            yield name, f"must have {card.spatial_dims} numbers"
    if not card.channels:
        yield "channels", "must name at least one channel"
    if not 0 <= card.context_slices <= MOST_CONTEXT or (card.context_slices and card.spatial_dims != 2):
        yield "context_slices", f"must lie between 0 and {MOST_CONTEXT}, and be 0 for a 3-D model"
    if card.modality is not None and not _MODALITY.fullmatch(card.modality):
        yield "modality", "must be spelt as DICOM does, such as MR or CT, or null for any"
    if not 0 < card.threshold < 1:
        yield "threshold", "must lie between 0 and 1"
    yield from _tile_problems(card)
    yield from _label_problems(card)
    yield from _intensity_problems(card.intensity)
    if card.scope is not None:
        yield from _scope_problems(card, card.scope)
    if card.gate is not None:
        yield from _threshold_problems("gate", card.gate, len(card.labels))
        yield from _share_problems("gate.gated_empty", (card.gate.gated_empty,))
    if card.empty_filter is not None:
        yield from _filter_problems(card, card.empty_filter)


def _filter_problems(card: ModelCard, found: EmptyFilter) -> typing.Iterator[tuple[str, str]]:
    yield from _threshold_problems("empty_filter", found, len(card.labels))
    yield from _share_problems("empty_filter.emptied_empty", (found.emptied_empty,))
    if not 1 <= found.top_k <= MOST_TILE:
        yield "empty_filter.top_k", f"must lie between 1 and {MOST_TILE:,}"
    if card.gate is not None:
        yield "empty_filter", "stands beside a gate: a model has one or the other"


def _tile_problems(card: ModelCard) -> typing.Iterator[tuple[str, str]]:
    if any(size < 1 for size in card.tile):
        yield "tile", "must be positive"
    pixels = math.prod(card.tile)
    if pixels > MOST_TILE or pixels * max(card.network_channels, card.network_outputs) > MOST_VALUES:
        yield (
            "tile",
            f"is too large: at most {MOST_TILE:,} pixels, and {MOST_VALUES:,} numbers in all channels or labels",
        )
    for overlap, tile, margin in zip(card.overlap, card.tile, card.margin, strict=True):
        if margin < 0 or tile - 2 * margin <= 0:
            yield "margin", "must leave something of the tile"
        if not 0 <= overlap < tile - 2 * margin:
            yield "overlap", "must be at least 0 and smaller than the tile without its margins"
    if card.spacing is not None:
        lengths = (2, 3) if card.context_slices else (card.spatial_dims,)
        if len(card.spacing) not in lengths or any(step <= 0 for step in card.spacing):
            yield "spacing", f"must be {' or '.join(map(str, lengths))} positive numbers (mm), or null"
    if card.orientation is not None and not is_orientation(card.orientation):
        yield "orientation", "must be three letters such as LPS, one of each pair L/R, P/A, S/I, or null"


def _label_problems(card: ModelCard) -> typing.Iterator[tuple[str, str]]:
    values = [label.value for label in card.labels]
    if not values:
        yield "labels", "must hold at least one label"
    if len(set(values)) != len(values) or any(not 1 <= value <= 65535 for value in values):
        yield "labels", "must have unique values from 1 to 65535"
    if len({label.name for label in card.labels}) != len(values):
        yield "labels", "must have unique names"
    for label in card.labels:
        if len(label.color) != 3 or any(not 0 <= part <= 255 for part in label.color):
            yield "labels", f"color of {label.name!r} must be three numbers from 0 to 255"
        if any(code is not None and len(code.meaning) > 64 for code in (label.category, label.type)):
            yield "labels", f"a code meaning of {label.name!r} is longer than 64 characters"


def _scope_problems(card: ModelCard, scope: Scope) -> typing.Iterator[tuple[str, str]]:
    if card.schema < SINCE["scope"]:
        yield "scope", f"needs schema {SINCE['scope']}"
    lengths = (2, 3) if card.spatial_dims == 2 else (3,)
    for name in ("field_of_view_mm", "field_of_view_px", "spacing"):
        ranges = getattr(scope, name)
        if ranges is None:
            continue
        if len(ranges) not in lengths:
            yield f"scope: {name}", f"must have {' or '.join(map(str, lengths))} ranges, one per axis of the tile"
        if any(not 0 < low <= high <= MOST_LENGTH for low, high in ranges):
            yield f"scope: {name}", "must hold ranges [smallest, largest] of positive numbers"
    for word in scope.body_part or ():
        if not _BODY_PART.fullmatch(word):
            yield "scope: body_part", "must hold words as DICOM spells them, such as HEAD"


def _intensity_problems(intensity: contract.Intensity) -> typing.Iterator[tuple[str, str]]:
    low, high = intensity.low, intensity.high
    if intensity.kind in ("window", "percentile"):
        if low is None or high is None or low >= high:
            yield "intensity", f"of kind {intensity.kind} needs low < high"
        elif intensity.kind == "percentile" and not (low >= 0 and high <= 100):
            yield "intensity", "percentiles lie between 0 and 100"
    if (intensity.mean is None) != (intensity.std is None):
        yield "intensity", "needs both mean and std, or neither"
    if intensity.std is not None and intensity.std <= 0:
        yield "intensity", "std must be positive"


def _threshold_problems(field: str, found: Gate | EmptyFilter, labels: int) -> typing.Iterator[tuple[str, str]]:
    for name in ("threshold", "positives", "patients", "sensitivity", "lower_bound", "auroc"):
        values = getattr(found, name)
        if len(values) != labels:
            yield f"{field}.{name}", f"must have {labels} entries, one a label"
        if name in ("positives", "patients") and any(count < 0 for count in values):
            yield f"{field}.{name}", "must not be negative"
    if any(not 0 <= tau < 1 for tau in found.threshold):
        yield f"{field}.threshold", "must be at least 0 and less than 1"
    for name in ("sensitivity", "lower_bound", "auroc"):
        yield from _share_problems(f"{field}.{name}", getattr(found, name))


def _share_problems(field: str, shares: tuple[float, ...]) -> typing.Iterator[tuple[str, str]]:
    if any(not 0 <= share <= 1 for share in shares):
        yield field, "must lie between 0 and 1"


def _convert(value: Any, kind: Any, where: str) -> Any:  # noqa: C901, PLR0911 - one branch a kind of type
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(item for item in arguments if item is not type(None)), where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ModelError(f"{where} must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ModelError(f"{where} must be a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
        if len(kinds) != len(value):
            raise ModelError(f"{where} must have {len(kinds)} entries")
        return tuple(_convert(item, part, f"{where}[{i}]") for i, (item, part) in enumerate(zip(value, kinds)))  # noqa: B905
    if origin is Mapping or kind is Mapping or origin is dict:
        if not isinstance(value, dict):
            raise ModelError(f"{where} must be an object")
        return value
    if dataclasses.is_dataclass(kind):
        return _convert_object(value, typing.cast(type, kind), where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise ModelError(f"{where} must be {_NAMES[kind]}")
    return value


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _convert_object(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, dict):
        raise ModelError(f"{where} must be an object")
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            raise ModelError(f"{where}: unknown field {name[:80]!r}")
    for name, item in fields.items():
        needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if needed and name not in value:
            raise ModelError(f"{where}: field {name!r} is missing")
    return kind(**{name: _convert(value[name], hints[name], f"{where}: {name}") for name in value})
