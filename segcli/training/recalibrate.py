"""A model's gate, chosen anew on a site's own data: other scanners, other patients, another share of empty slices.

A model without a presence head gets an empty filter in its place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from segcli.card_json import format_card
from segcli.catalog import Catalog
from segcli.contract import GatedNetwork, ModelCard
from segcli.engine.model import load_model
from segcli.errors import UsageError
from segcli.formats.atomic import write_bytes_atomically
from segcli.model_folder import CARD_NAME, WEIGHTS_NAME
from segcli.pairing.layout import read_layout
from segcli.pairing.names import Numbered
from segcli.training.calibrate import Calibration
from segcli.training.examples import Example, label_values
from segcli.training.filter_scores import choose_filter
from segcli.training.finish import Calibrated, calibrate
from segcli.training.loop import Hardware, Recipe
from segcli.training.options import TOP_K, SplitOptions
from segcli.training.planning import groups_of
from segcli.training.source import read_all


@dataclass(frozen=True)
class CalibrateOptions:
    """One call of ``segcli calibrate``. ``output``: a new folder, or None to change ``model`` itself.

    ``part``: all groups of the data set, or those the card lists as validation. ``or_none``: where no gate can be
    found, write a card without one instead of leaving everything as it is. ``top_k``: pixels an empty filter averages.
    ``numbered_masks``: see :class:`segcli.training.options.DataOptions`.
    """

    model: str
    dataset: Path
    output: Path | None = None
    split: SplitOptions = field(default_factory=SplitOptions)
    part: Literal["all", "validation"] = "all"
    or_none: bool = False
    top_k: int = TOP_K
    numbered_masks: Numbered | None = None


def recalibrate(
    options: CalibrateOptions, catalog: Catalog, hardware: Hardware, told: Callable[[int, int], None]
) -> tuple[ModelCard, Calibration, bool]:
    """The card as it now is, what was found, and whether the card was written.

    Raises UsageError or ModelError where model, data set or output cannot be used.
    """
    loaded = load_model(options.model, catalog)
    folder = options.output or loaded.folder.path
    if options.output is None and os.sep not in options.model:
        raise UsageError("the model that ships with a plugin is not changed: give -o FOLDER for one of your own")
    if options.output is not None and (options.output / CARD_NAME).exists():
        raise UsageError(f"{options.output} holds a model already: choose another -o")
    card = loaded.card
    layout = read_layout(options.dataset)
    if layout.channels is not None and len(layout.channels) != len(card.channels):
        raise UsageError(f"the model wants {len(card.channels)} channel(s), the data set has {len(layout.channels)}")
    layout = replace(layout, channels=card.channels, numbered=options.numbered_masks)
    examples, _ = read_all(layout, None, lambda names: groups_of(names, options.split), told)
    label_values(examples, {label.value: label.name for label in card.labels}, "the model's card")
    chosen = _chosen(examples, card, options.part)
    recipe = card.training.get("recipe", {})
    how = {
        "seed": options.split.seed,
        "fewest_present": recipe.get("fewest_present", Recipe.fewest_present) if isinstance(recipe, dict) else 5,
    }
    bare = replace(card, gate=None, empty_filter=None)
    if isinstance(loaded.network, GatedNetwork):
        found = calibrate(loaded.network, bare, chosen, hardware, how, folder)
    else:
        found = choose_filter(loaded.network, bare, chosen, hardware, (options.top_k, options.split.seed), folder)
    gate, empty_filter = found.calibration.gate, found.calibration.empty_filter
    if gate is None and empty_filter is None and not options.or_none:
        return card, found.calibration, False
    training = {**card.training, "calibration": _record(layout.name, chosen, found, hardware)}
    card = replace(card, gate=gate, empty_filter=empty_filter, training=json.loads(json.dumps(training)))
    if options.output is not None:
        shutil.copyfile(loaded.folder.weights, folder / WEIGHTS_NAME)
    write_bytes_atomically(folder / CARD_NAME, format_card(card).encode("utf-8"))
    return card, found.calibration, True


def _chosen(examples: list[Example], card: ModelCard, part: str) -> list[Example]:
    if part == "all":
        return examples
    split = card.training.get("split")
    groups = split.get("validation", ()) if isinstance(split, dict) else ()
    wanted = {str(group) for group in groups}
    chosen = [example for example in examples if example.group in wanted]
    if not chosen:
        raise UsageError("--part validation: the data set holds none of the groups the card lists as validation")
    return chosen


def _record(name: str, examples: list[Example], found: Calibrated, hardware: Hardware) -> dict[str, Any]:
    return {
        "data": name,
        "cases": len(examples),
        "groups": len({example.group for example in examples}),
        found.unit: found.tiles,
        f"empty_{found.unit}": found.empty,
        "hardware": {"device": hardware.device.type, "precision": hardware.precision},
        **({"no_gate": found.calibration.reason} if found.calibration.reason else {}),
    }
