"""What the empty filter judges by, of every slice of labelled cases, and what the slice really holds."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from segcli.contract import EmptyFilter, ModelCard
from segcli.engine.prepare import prepare
from segcli.engine.segmenter import Segmenter
from segcli.errors import CaseError, UsageError
from segcli.formats.atomic import write_bytes_atomically
from segcli.settings import PredictSettings
from segcli.training.calibrate import Calibration, calibrate_filter, not_calibrated
from segcli.training.dataset import class_numbers
from segcli.training.examples import Example
from segcli.training.finish import Calibrated
from segcli.training.gate_curve import format_curve, gate_curve
from segcli.training.loop import Hardware
from segcli.training.presence import TileScores

NAME = "empty_filter.csv"
WORDS = ("slices_emptied", "empty_slices_emptied")


def choose_filter(
    network: nn.Module,
    card: ModelCard,
    examples: Sequence[Example],
    hardware: Hardware,
    how: tuple[int, int],
    folder: Path,
) -> Calibrated:
    """Choose the empty filter on ``examples`` and leave its curve in ``folder``. ``how``: ``top_k`` and seed.

    Raises UsageError naming a case that cannot be segmented.
    """
    top_k, seed = how
    if not examples:
        reason = not_calibrated("there is no case to choose its thresholds on", "Empty filter")
        return Calibrated(Calibration(None, reason))
    scores = slice_scores(network, card, examples, hardware, top_k)
    found = calibrate_filter(scores.probability, scores.present, scores.group, top_k, seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = [label.name for label in card.labels]
    write_bytes_atomically(folder / NAME, format_curve(gate_curve(scores), names, WORDS).encode())
    return Calibrated(found, len(scores.present), int((~scores.present.any(axis=1)).sum()), "slices")


def slice_scores(
    network: nn.Module, card: ModelCard, examples: Sequence[Example], hardware: Hardware, top_k: int
) -> TileScores:
    """An entry a slice (of a 3-D model: a stack) of every example, by the engine as predict runs it."""
    settings = PredictSettings(device=str(hardware.device), precision=hardware.precision)  # type: ignore[arg-type]
    card = replace(card, empty_filter=_open(len(card.labels), top_k))
    segmenter = Segmenter(copy.deepcopy(network).eval(), card, settings)
    groups = {group: n for n, group in enumerate(sorted({example.group for example in examples}))}
    probability: list[list[float]] = []
    present: list[list[bool]] = []
    group: list[int] = []
    results = segmenter.segment((index, example.parts) for index, example in enumerate(examples))
    for index, result in results:
        example = examples[index]
        if isinstance(result, CaseError):
            raise UsageError(f"{example.name}: {result}") from result
        for units in result.filter_scores or ():
            probability += [list(scores.values()) for scores in units]
        present += _present(example, card)
        group += [groups[example.group]] * (len(present) - len(group))
    labels = len(card.labels)
    return TileScores(
        np.array(probability, dtype=np.float64).reshape(-1, labels),
        np.array(present, dtype=bool).reshape(-1, labels),
        np.array(group, dtype=np.int64),
    )


def _present(example: Example, card: ModelCard) -> list[list[bool]]:
    """Which labels each slice holds in the mask as stored, where no small object has been lost by resampling."""
    found = []
    for part, labels in zip(example.parts, example.labels, strict=True):
        turned = prepare(part, card, None).reorientation.apply(class_numbers(labels, card.labels))
        for unit in turned if card.spatial_dims == 2 else [turned]:
            there = set(np.unique(unit).tolist())
            found.append([number in there for number in range(1, len(card.labels) + 1)])
    return found


def _open(labels: int, top_k: int) -> EmptyFilter:
    """A filter that takes nothing off and tells what it saw."""
    none = (0,) * labels
    zero = (0.0,) * labels
    return EmptyFilter(top_k, zero, none, none, zero, zero, zero, 0.0)
