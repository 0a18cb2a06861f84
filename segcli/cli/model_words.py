"""What a card says, in words: for ``segcli models show`` and ``segcli models list``.

Every text of a card is somebody else's: :func:`segcli.cli.terminal.say` makes the lines safe to print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segcli.contract import Code, Label, ModelCard
from segcli.sizes import spans, times

MOST_LISTED = 6
"""Labels that the list names."""
MOST_LINES = 60
MOST_LETTERS = 300
"""Of what a card says freely about training and metrics, and of one line of it."""
DETAILS = ("recipe", "hardware", "seed", "steps", "torch")
"""Of the training: how it was computed. ``--json`` shows it."""
NAMES = 14
"""Width of the column of headings."""


def in_one_line(card: ModelCard) -> str:
    """``hippocampus-t1 1.1.0 (MR T1, 26-46 × 40-58 × 31-40 mm): anterior hippocampus, posterior hippocampus``."""
    kind = [" ".join([card.modality or "any modality", *card.channels])]
    if card.scope is not None and card.scope.field_of_view_mm is not None:
        kind.append(f"{spans(card.scope.field_of_view_mm)} mm")
    elif card.scope is not None and card.scope.field_of_view_px is not None:
        kind.append(f"{spans(card.scope.field_of_view_px)} pixels")
    names = [label.name for label in card.labels[:MOST_LISTED]]
    if len(card.labels) > MOST_LISTED:
        names.append(f"… ({len(card.labels)} labels)")
    return f"{card.name} {card.version} ({', '.join(kind)}): {', '.join(names)}"


def in_full(card: ModelCard) -> Iterator[str]:
    """All that somebody who wants to use the model asks of it, line by line."""
    yield f"{card.name} {card.version}"
    for heading, lines in _sections(card):
        for index, line in enumerate(lines):
            yield f"{heading if index == 0 else '':<{NAMES}}{line}"


def _sections(card: ModelCard) -> Iterator[tuple[str, list[str]]]:
    yield "what it does", [card.description or "not stated"]
    yield "labels", [_label(label) for label in card.labels]
    yield "images", [_images(card)]
    yield "scope", _scope(card)
    yield "grid", [_grid(card)]
    yield "intensity", [_intensity(card)]
    yield (
        "training",
        _free({name: item for name, item in card.training.items() if name not in DETAILS}) or ["not stated"],
    )
    yield "metrics", _free(card.metrics) or ["not stated"]
    yield "gate", _gate(card)
    yield "licence", [card.license, *([card.attribution] if card.attribution else [])]


def _label(label: Label) -> str:
    red, green, blue = label.color
    codes = ", ".join(_code(code) for code in (label.category, label.type) if code is not None)
    return f"{label.value}  {label.name}  #{red:02x}{green:02x}{blue:02x}  {codes or 'no code'}"


def _code(code: Code) -> str:
    return f"{code.meaning} ({code.scheme} {code.code})"


def _images(card: ModelCard) -> str:
    words = [f"modality {card.modality or 'any'}", f"channels {', '.join(card.channels)}", f"{card.spatial_dims}-D"]
    if card.context_slices:
        words.append(f"{card.context_slices} neighbouring slice(s) on each side")
    return "; ".join(words)


def _scope(card: ModelCard) -> list[str]:
    scope = card.scope
    lines = []
    if scope is not None:
        for name, ranges, unit in (
            ("field of view", scope.field_of_view_mm, "mm"),
            ("without spacing", scope.field_of_view_px, "pixels"),
            ("spacing", scope.spacing, "mm"),
        ):
            if ranges is not None:
                lines.append(f"{name} {spans(ranges)} {unit}")
        for name, words in (("body part", scope.body_part), ("planes", scope.planes)):
            if words:
                lines.append(f"{name} {', '.join(words)}")
    if not lines:
        return [
            "not stated: no image is refused, and on images of another kind the mask may look right and mean nothing"
        ]
    return [*lines, "so the training images were; predict skips what is far outside (--any-scope segments it)"]


def _grid(card: ModelCard) -> str:
    spacing = "as stored" if card.spacing is None else f"{times(card.spacing)} mm"
    sizes = f"tile {times(card.tile)}, overlap {times(card.overlap)}"
    return f"spacing {spacing}, orientation {card.orientation or 'as stored'}, {sizes}"


def _intensity(card: ModelCard) -> str:
    kind = card.intensity
    numbers = [
        f"{name} {value:g}" for name in ("low", "high", "mean", "std") if (value := getattr(kind, name)) is not None
    ]
    return ", ".join([kind.kind, *([] if kind.kind == "none" else [f"of the {kind.scope}"]), *numbers])


def _gate(card: ModelCard) -> list[str]:
    found = card.gate or card.empty_filter
    if found is None:
        return ["none"]
    if card.gate is not None:
        lines = [f"tiles without any label are not computed in full: {card.gate.gated_empty:.0%} of the empty ones"]
    else:
        lines = ["an empty filter: labels are taken off slices that hold nothing of them"]
    for index, label in enumerate(card.labels):
        if found.threshold[index] == 0:
            lines.append(f"{label.name}: never")
            continue
        lines.append(
            f"{label.name}: below {found.threshold[index]:g}; kept {found.sensitivity[index]:.2%} of "
            f"{found.positives[index]:,} with the label, of {found.patients[index]} patients"
        )
    return lines


def _free(value: Mapping[str, Any]) -> list[str]:
    """What an object of a card holds, indented; lists of numbers by their length."""
    lines = list(_tree(value, ""))
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], "… (--json shows all)"]


def _tree(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield f"{indent}{name}:"
            yield from _tree(item, indent + "  ")
            continue
        if isinstance(item, list) and len(item) > MOST_LISTED:
            words = f"{len(item)} entries"
        elif isinstance(item, list):
            words = ", ".join(map(str, item))
        else:
            words = str(item)
        yield f"{indent}{name}: {words if len(words) <= MOST_LETTERS else words[:MOST_LETTERS] + '…'}"
