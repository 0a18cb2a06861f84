"""What an exported file cannot know: the fields asked for, and a card to fill in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.strict_json import read_object

ASKED: Mapping[str, str] = {
    "name": "what the model is called",
    "version": "its version",
    "license": "the licence of its weights (SPDX)",
    "spatial_dims": "2 or 3",
    "channels": 'names of the image channels, e.g. ["T1"]',
    "context_slices": "neighbouring slices on each side that enter as channels, usually 0",
    "labels": 'one object a class: {"value": 1, "name": "liver", "color": [255, 170, 0]}',
    "activation": "softmax or sigmoid if the file returns logits, none if it returns probabilities",
    "threshold": "probability above which a pixel counts (sigmoid; softmax ignores it)",
    "intensity": 'how it was fed in training: {"kind": "zscore", "scope": "case"}, or window, percentile, none',
    "modality": "MR, CT … or null for any",
    "spacing": "mm of the pixels it was trained on, in the order of the tile's axes, or null: as stored",
    "orientation": "e.g. LPS, or null: as stored",
    "tile": "pixels it is run on, e.g. [256, 256]",
    "overlap": "pixels neighbouring tiles share",
    "margin": "pixels it loses on each side, usually 0",
}
"""Fields of the card that the file cannot know."""
OURS = ("plugin", "plugin_options", "sha256")
FILL_IN = "FILL IN: "
"""How a text begins that stands for what nobody has said yet; a card that holds one is refused."""
COLORS = ((255, 170, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233), (240, 228, 66))

Shape = Sequence[int | None]
"""Batch, channels, sides; None where the file takes any."""


def stated(card_file: Path | None) -> dict[str, Any]:
    """The fields in ``card_file``. Raises UsageError naming those that are missing or still to be filled in."""
    fields = {} if card_file is None else read_object(card_file)
    for name in OURS:
        if name in fields:
            raise UsageError(f"{card_file}: leave out {name!r}, it is written for you")
    if fields.get("activation") in ("softmax", "none") and _is_open(fields.get("threshold")):
        fields.pop("threshold", None)
    needed = [name for name in ASKED if name not in fields]
    if fields.get("activation") in ("softmax", "none") and "threshold" in needed:
        needed.remove("threshold")
    if needed:
        raise UsageError(
            f"the file cannot say, so the card must: {', '.join(needed)} "
            "(models wrap FILE --template card.json writes one to fill in, which says what each is)"
        )
    unfilled = [name for name, value in fields.items() if any(map(_is_open, _leaves(value)))]
    if unfilled:
        raise UsageError(f"{card_file}: still to be filled in: {', '.join(unfilled)}")
    return fields


def template(given: Shape | None, returned: Shape | None) -> dict[str, Any]:
    """A card to fill in, with what the shapes of a file's input and output say; None where it says nothing."""
    fields: dict[str, Any] = {name: FILL_IN + text for name, text in ASKED.items()}
    if given is None or len(given) not in (4, 5):
        return fields
    channels, sides = given[1], given[2:]
    fields["spatial_dims"] = len(sides)
    if channels is not None:
        fields["channels"] = [f"{FILL_IN}name of image channel {i + 1}" for i in range(channels)]
        fields["context_slices"] = f"{FILL_IN}{ASKED['context_slices']}; with 1, three channels are one of the image"
    tile = [side for side in sides if side is not None]
    if len(tile) == len(sides):
        fields["tile"], fields["overlap"] = tile, [side // 4 for side in tile]
    if returned is None or len(returned) != len(given):
        return fields
    lost = [a - b for a, b in zip(sides, returned[2:], strict=True) if a is not None and b is not None]
    if len(lost) == len(sides) and all(side >= 0 and side % 2 == 0 for side in lost):
        fields["margin"] = [side // 2 for side in lost]
    classes = returned[1]
    if classes is not None:
        count = max(1, classes - 1)
        fields["labels"] = [
            {"value": i + 1, "name": f"{FILL_IN}name of class {i + 1}", "color": list(COLORS[i % len(COLORS)])}
            for i in range(count)
        ]
        if classes > 1:
            fields["activation"] += f"; with sigmoid the {classes} channels are {classes} labels, no background"
    return fields


def _is_open(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FILL_IN.strip())


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
