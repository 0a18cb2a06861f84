"""Everything decided before the first step: which cases are trained on, the card, the recipe, the network."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from segcli.card_json import SCHEMA, check_card, format_card, parse_card
from segcli.catalog import Catalog
from segcli.contract import ModelCard, Network, TrainableNetwork, fits
from segcli.engine.model import load_model
from segcli.errors import ModelError, UsageError
from segcli.pairing.layout import read_layout
from segcli.strict_json import read_object
from segcli.training.augment import Augmentation
from segcli.training.choosing import Choice
from segcli.training.dataset import TrainingCase, training_cases
from segcli.training.deriving import UNNAMED, derive_card, merged
from segcli.training.examples import Example, label_values, repeated_across_groups
from segcli.training.loop import Hardware, Recipe
from segcli.training.options import PRESETS, CardOptions, RecipeOptions, SplitOptions, TrainOptions
from segcli.training.scope_of import scope_of
from segcli.training.source import read_all
from segcli.training.splitting import (
    Split,
    group_by_folder,
    groups_from_file,
    groups_from_pattern,
)

GIVEN, BY_FOLDER, BY_CASE = "given", "by folder", "every case by itself"


@dataclass(frozen=True)
class Plan:
    """What will be trained. ``cases``: of the training groups, prepared; ``validation`` and ``test`` as stored.

    ``warnings``: what nobody may miss. ``grouping``: what decided which cases belong together. ``data``: the set in
    words. ``start``: SHA-256 of the weights it starts from, or empty.
    """

    card: ModelCard
    recipe: Recipe
    split: Split
    cases: tuple[TrainingCase, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    names: Mapping[str, tuple[str, ...]]
    data: str
    notes: tuple[str, ...]
    grouping: str
    warnings: tuple[str, ...] = ()
    start: str = ""
    start_folder: Path | None = None

    def identity(self, hardware: Hardware) -> Mapping[str, Any]:
        """What must be the same for a run to be resumed; JSON values."""
        return {
            "card": json.loads(format_card(self.card)),
            "recipe": dataclasses.asdict(self.recipe),
            "split": dataclasses.asdict(self.split),
            "data": _digest(self.cases),
            "start": self.start,
            "device": hardware.device.type,
            "precision": hardware.precision,
        }


def make_plan(options: TrainOptions, catalog: Catalog, told: Callable[[int, int], None]) -> Plan:
    """Read the data set and decide. Raises UsageError, ModelError or PluginError saying what does not fit."""
    entry = catalog.find(options.model)
    if options.start is not None and replace(options.card, name=None, channels=None) != CardOptions():
        raise UsageError("--from takes the card of its model: leave out options of the card except --name")
    layout = replace(read_layout(options.dataset), numbered=options.data.numbered_masks)
    start = None if options.start is None else load_model(_as_folder(options.start), catalog)
    if start is not None and start.card.plugin != entry.name:
        raise UsageError(f"--from {options.start}: that model is a {start.card.plugin}, not a {entry.name}")
    channels = options.card.channels or (None if start is None else start.card.channels)
    choice = Choice(options.split, few=options.recipe.preset == "smoke")
    examples, layout = read_all(
        layout, channels, lambda names: groups_of(names, options.split), told, choice.chosen
    )  # fmt: skip
    split = choice.split
    train, validation, test = (
        [example for example in examples if example.group in groups]
        for groups in (split.train, split.validation, split.test)
    )
    stated = {**(layout.labels or {}), **options.card.labels} or None
    if start is not None and stated is None:
        stated = {label.value: label.name for label in start.card.labels}
    values = label_values(examples, stated)
    grouping = _grouping(options.split, examples)
    notes = [*layout.notes, *_notes(grouping, validation), *_remarks(examples)]
    if choice.of > len(examples):
        notes.append(f"smoke reads a sample of {len(examples)} of its {choice.of} cases: nothing to judge a model by")
    if start is None:
        card, refused = _card(options, derive_card(train, values, layout, options.card, entry.name), catalog)
        notes += [
            f"--preset smoke asks for {name}, which the model {entry.name!r} refuses: left out" for name in refused
        ]
    else:
        card = replace(
            start.card, name=options.card.name or start.card.name, gate=None, empty_filter=None, metrics={}, sha256=""
        )
        _check_labels(card, values)
    if start is not None or card.scope is None:  # a --card may state another one
        card = replace(card, scope=scope_of(train, card), schema=SCHEMA)
    return Plan(
        card=card,
        recipe=recipe_of(options.recipe, card, options.split.seed),
        split=split,
        cases=tuple(case for example in train for case in training_cases(example, card)),
        validation=tuple(validation),
        test=tuple(test),
        names={"train": tuple(e.name for e in train)},
        data=f"{layout.name}: {len(examples)} cases of {len({e.group for e in examples})} groups",
        notes=tuple(notes),
        grouping=grouping,
        warnings=_warnings(examples),
        start="" if start is None else start.card.sha256,
        start_folder=options.start,
    )


def build(plan: Plan, catalog: Catalog) -> nn.Module:
    """The network of the plan, fresh or with the weights it starts from. Raises ModelError or PluginError."""
    if plan.start_folder is not None:
        network = load_model(_as_folder(plan.start_folder), catalog).network
    else:
        network = catalog.find(plan.card.plugin).build(plan.card)
    if not isinstance(network, TrainableNetwork):
        raise ModelError(f"the model {plan.card.plugin!r} cannot be trained: it has no training_outputs")
    return network


def groups_of(names: Sequence[str], options: SplitOptions) -> Mapping[str, str]:
    """Case → group, as the options say. Raises UsageError."""
    if options.groups is not None and options.group_pattern is not None:
        raise UsageError("--groups and --group-pattern say the same thing twice: give one")
    if options.groups is not None:
        return groups_from_file(names, options.groups)
    if options.group_pattern is not None:
        return groups_from_pattern(names, options.group_pattern)
    return group_by_folder(names)


def recipe_of(options: RecipeOptions, card: ModelCard, seed: int) -> Recipe:
    """The preset with the options in its place; a batch as large as its tiles allow."""
    preset = PRESETS[options.preset]
    flips = ("columns",) if options.flip is None else options.flip
    steps = options.steps or preset["steps"]
    return Recipe(
        steps=steps,
        batch=options.batch or default_batch(card.tile),
        crop=card.tile,
        rate=options.rate or preset["rate"],
        warm_up=min(preset["warm_up"], max(1, steps // 10)),
        average=preset["average"] if options.average is None else options.average,
        presence_weight=options.presence_weight,
        empty_share=options.empty_share,
        dice_over=options.dice_over,  # type: ignore[arg-type]
        loss=options.loss,  # type: ignore[arg-type]
        similarity=options.ms_ssim,
        augment=Augmentation(
            flip_columns="columns" in flips,
            flip_rows="rows" in flips,
            flip_slices="slices" in flips,
            rotation=options.rotation,
            channels=len(card.channels),
            context_slices=card.context_slices,
        ),
        seed=seed,
    )


def default_batch(tile: Sequence[int]) -> int:
    """16 crops of up to 128 × 128 pixels, 8 larger ones (fewer make batch normalisation poor), 2 in 3-D."""
    if len(tile) == 3:
        return 4 if np.prod(tile) <= 48**3 else 2
    return 16 if np.prod(tile) <= 128**2 else 8


def _card(options: TrainOptions, derived: ModelCard, catalog: Catalog) -> tuple[ModelCard, list[str]]:
    """The derived card with the plugin options of preset, presence head and command line, and the --card file's.

    Also the preset's options that the plugin refuses.
    """
    asked = dict(options.card.plugin_options)
    if options.card.deep_supervision:
        asked["deep_supervision"] = True
    preset = PRESETS[options.recipe.preset]["plugin_options"]
    override = {} if options.card.card is None else read_object(options.card.card)
    card = replace(derived, plugin_options={"presence": True, **preset, **asked})
    try:
        card = parse_card(json.dumps(merged(json.loads(format_card(card)), override)))
    except ModelError as error:
        raise UsageError(f"the card of the model to train: {str(error).removeprefix('config.json: ')}") from error
    _refuse_unnamed(card)
    if card.plugin != options.model:
        raise UsageError(f"--card says plugin {card.plugin!r}, --model says {options.model!r}")
    ours = {"presence", *preset} - set(asked) - set(override.get("plugin_options", {}))
    card, network = _first_accepted(card, sorted(ours), catalog)
    if not fits(card.tile, network.multiple, network.offset):
        raise UsageError(
            f"--tile {','.join(map(str, card.tile))} does not fit the network: each side must be {network.offset} more "
            f"than a multiple of {network.multiple}"
        )
    check_card(card)
    return card, sorted(set(preset) & ours - set(card.plugin_options))


def _refuse_unnamed(card: ModelCard) -> None:
    """A mask of "label 255" tells nobody what it is."""
    unnamed = [label.value for label in card.labels if label.name == UNNAMED.format(label.value)]
    if unnamed:
        raise UsageError(
            f"the masks hold {'labels' if len(unnamed) > 1 else 'a label'} without a name: give "
            + " ".join(f"--label {value}=NAME" for value in unnamed)
        )


def _first_accepted(card: ModelCard, ours: Sequence[str], catalog: Catalog) -> tuple[ModelCard, Network]:
    """The card with as many of the options nobody asked for as the plugin takes: a stranger's may know none of them.

    Raises ModelError with what the plugin says of the options that were asked for, PluginError if it fails.
    """
    refusal: ModelError | None = None
    for count in range(len(ours) + 1):
        for left_out in itertools.combinations(ours, count):
            kept = {name: value for name, value in card.plugin_options.items() if name not in left_out}
            tried = replace(card, plugin_options=kept)
            try:
                return tried, catalog.find(card.plugin).build(tried)
            except ModelError as error:
                refusal = error
    assert refusal is not None  # noqa: S101 - the loop ran
    raise refusal


def _check_labels(card: ModelCard, values: Sequence[int]) -> None:
    known = {label.value for label in card.labels}
    for value in values:
        if value not in known:
            raise UsageError(f"the data set has the label {value}, which the model of --from does not know")


def _grouping(options: SplitOptions, examples: Sequence[Example]) -> str:
    """What decided which cases belong together, as the card has it."""
    if options.groups is not None or options.group_pattern is not None:
        return GIVEN
    return BY_FOLDER if any(example.group != example.name for example in examples) else BY_CASE


def _warnings(examples: Sequence[Example]) -> tuple[str, ...]:
    count = repeated_across_groups(examples)
    if not count:
        return ()
    return (
        f"{count} cases have the very pixels of a case in another group, so the split may train on what it is tested "
        "with: put them into one group with --groups, or take them away",
    )


def _remarks(examples: Sequence[Example]) -> list[str]:
    """What predict would warn of, and how often."""
    counts = Counter(warning for example in examples for warning in example.warnings)
    return [f"{count} case{'s' if count > 1 else ''}: {warning}" for warning, count in counts.items()]


def _notes(grouping: str, validation: Sequence[Example]) -> list[str]:
    notes = []
    if grouping == BY_FOLDER:
        notes.append("split by folder: cases of one folder stay together; --groups or --group-pattern says otherwise")
    if grouping == BY_CASE:
        notes.append("split by case: if some cases are of one patient, say so with --groups or --group-pattern")
    if not validation:
        notes.append("no validation case: no learning curve of Dice, and no gate")
    return notes


def _digest(cases: Sequence[TrainingCase]) -> str:
    total = hashlib.sha256()
    for case in cases:
        total.update(case.name.encode())
        total.update(np.ascontiguousarray(case.units).data)
        total.update(np.ascontiguousarray(case.labels).data)
    return total.hexdigest()


def _as_folder(path: Path) -> str:
    return str(path.absolute())
