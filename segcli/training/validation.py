"""Validation cases through the engine, exactly as predict would segment them, against their masks as stored."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray
from torch import nn

from segcli.contract import ModelCard
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UsageError
from segcli.evaluation.scores import CaseScore, score_case
from segcli.evaluation.summary import rounded, summarise
from segcli.settings import PredictSettings
from segcli.training.examples import Example

GateSetting: TypeAlias = Literal["auto", "off"] | float


@dataclass(frozen=True)
class Masks:
    """Label numbers ``[slice, row, column]`` of every part of every example, and the share of tiles gated."""

    pixels: tuple[tuple[NDArray[Any], ...], ...]
    gated: float


def segment(
    network: nn.Module, card: ModelCard, examples: Sequence[Example], settings: PredictSettings, gate: GateSetting
) -> Masks:
    """Segment all examples with a copy of the network. Raises UsageError naming one that cannot be segmented."""
    segmenter = Segmenter(copy.deepcopy(network).eval(), card, replace(settings, gate=gate))
    found, tiles, gated = [], 0, 0
    for name, result in segmenter.segment((example.name, example.parts) for example in examples):
        if isinstance(result, CaseError):
            raise UsageError(f"{name}: {result}") from result
        tiles, gated = tiles + result.tiles, gated + result.tiles_gated
        found.append(tuple(mask.pixels for mask in result.masks))
    return Masks(tuple(found), gated / max(1, tiles))


def scores(masks: Masks, examples: Sequence[Example], card: ModelCard) -> list[CaseScore]:
    """One score a part."""
    labels = {label.value: label.name for label in card.labels}
    return [
        score_case(example.name, mask, truth, labels, part.geometry.voxel_volume)
        for example, parts in zip(examples, masks.pixels, strict=True)
        for part, mask, truth in zip(example.parts, parts, example.labels, strict=True)
    ]


def lost_to_gate(without: Masks, gated: Masks, examples: Sequence[Example], card: ModelCard) -> dict[str, float]:
    """Label name → share of the pixels found rightly without a gate that are not found with it."""
    shares = {}
    for label in card.labels:
        found = lost = 0
        for example, free, kept in zip(examples, without.pixels, gated.pixels, strict=True):
            for truth, one, other in zip(example.labels, free, kept, strict=True):
                right = (one == label.value) & (truth == label.value)
                found += int(right.sum())
                lost += int((right & (other != label.value)).sum())
        shares[label.name] = rounded(lost / max(1, found))
    return shares


def never_predicted(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence for each label that the held-out cases hold and no mask of the network does, or that none holds.

    ``metrics``: part → gate setting → summary, as :func:`measure` gives them; the last setting is the one predict uses.
    """
    found: dict[str, list[str]] = {}
    held: dict[str, int] = {}
    for part, settings in metrics.items():
        for label, each in settings[list(settings)[-1]]["labels"].items():
            holding = each["cases_with_label"]
            held[label] = held.get(label, 0) + holding
            if holding and each["missed_cases"] == holding and not each["false_positive_cases"]:
                found.setdefault(label, []).append(f"{holding} {part} case{'s' if holding > 1 else ''}")
    never = [
        f"the label {label!r} is never predicted, and {' and '.join(where)} hold it: the model does not find it yet; "
        "train longer (--steps) or on more cases"
        for label, where in found.items()
    ]
    unknown = [label for label, count in held.items() if not count]
    return never + [
        f"no validation or test case holds the label {label!r}: how well it is found is unknown" for label in unknown
    ]


def measure(
    network: nn.Module, card: ModelCard, examples: Sequence[Example], settings: PredictSettings
) -> dict[str, Any]:
    """What a card states as its metrics: no gate, gate at 0.5, and the card's own gate where it has one."""
    gates: dict[str, GateSetting] = {"gate_at_half": 0.5} if card.gate is not None else {}
    gates |= {"gate": "auto"} if card.gate is not None else {}
    free = segment(network, card, examples, settings, "off")
    found: dict[str, Any] = {"no_gate": summarise(scores(free, examples, card))}
    for name, gate in gates.items():
        masks = segment(network, card, examples, settings, gate)
        found[name] = {
            **summarise(scores(masks, examples, card)),
            "tiles_gated": rounded(masks.gated),
            "found_pixels_lost": lost_to_gate(free, masks, examples, card),
        }
    return found
