"""A folder of predictions against a folder of references: every reference gets a score or a reason, none is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segcli.errors import SegcliError
from segcli.evaluation.align import Aligned, align
from segcli.evaluation.mapping import Renumbering, hint
from segcli.evaluation.run_report import run_report
from segcli.evaluation.scores import CaseScore, LabelScore, score_case
from segcli.evaluation.summary import rounded, summarise
from segcli.evaluation.surfaces import with_surfaces
from segcli.exit_code import ExitCode, code_of
from segcli.formats.readers import Readers
from segcli.pairing.masks import MaskPair, pair_masks


@dataclass(frozen=True)
class EvaluateOptions:
    """``ungated``: predictions of the same cases made with ``--gate off``. ``tolerance``: of NSD in mm, None for no
    distances at all. ``labels``: number → name, as far as known. ``only_predicted``: references without a prediction
    are left out (and counted) instead of failing. ``renumbering``: numbers that count as others.
    """

    predictions: Path
    references: Path
    ungated: Path | None = None
    tolerance: float | None = 1.0
    labels: Mapping[int, str] = field(default_factory=dict)
    only_predicted: bool = False
    renumbering: Renumbering = field(default_factory=Renumbering)


@dataclass(frozen=True)
class Evaluation:
    """``failed``: name → reason. ``left_out``: references without a prediction, where that was allowed; ``unused``:
    predictions without a reference. ``ungated``: the same cases without the gate. ``ids``: name of each reference →
    what it is called where names may not be shown: the case id of the report beside the predictions, else a number.
    ``notes``: what must be told about all of it.
    """

    cases: tuple[CaseScore, ...]
    failed: Mapping[str, str]
    left_out: int
    unused: int
    ungated: tuple[CaseScore, ...] | None
    lost: Mapping[str, float] | None
    gated_tiles: float | None
    ids: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """As of a run: of the cases that failed and those that were scored."""
        return code_of(failed=len(self.failed), well=len(self.cases))

    def summary(self) -> dict[str, Any]:
        """All figures together, JSON values."""
        found: dict[str, Any] = {"failed": len(self.failed), "left_out": self.left_out, "unused": self.unused}
        found["predictions"] = summarise(self.cases)
        if self.gated_tiles is not None:
            found["predictions"]["tiles_gated"] = rounded(self.gated_tiles)
        if self.ungated is not None:
            found["without_gate"] = summarise(self.ungated)
            found["found_pixels_lost_to_gate"] = dict(self.lost or {})
        if self.notes:
            found["notes"] = list(self.notes)
        return found


def evaluate(options: EvaluateOptions, told: Callable[[int, int], None] = lambda *_: None) -> Evaluation:
    """Score every reference. Raises UsageError if a folder holds no masks, names repeat, or a mapped number is none."""
    run = run_report(options.predictions)
    cases: list[CaseScore] = []
    ungated: list[CaseScore] = []
    failed: dict[str, str] = {}
    lost: dict[str, list[int]] = {}
    ids: dict[str, str] = {}
    seen: tuple[set[int], set[int]] = (set(), set())
    left_out = 0
    with Readers(1) as readers:
        pairs, unused = pair_masks(options.predictions, options.references, readers)
        others: dict[str, MaskPair] = {}
        if options.ungated is not None:
            others = {pair.name: pair for pair in pair_masks(options.ungated, options.references, readers)[0]}
        for done, pair in enumerate(pairs, start=1):
            ids[pair.name] = run.id_of(pair) or f"case {done}"
            if pair.prediction is None and options.only_predicted:
                left_out += 1
                continue
            try:
                slices = run.slices_of(pair)
                parts = _aligned(pair, readers, slices, options.renumbering)
                free = _aligned(others[pair.name], readers, slices, options.renumbering) if others else None
            except SegcliError as error:
                failed[pair.name] = str(error)
                continue
            cases += _scored(pair.name, ids[pair.name], parts, options)
            for part in parts:
                seen[0].update(np.unique(part.predicted).tolist())
                seen[1].update(np.unique(part.reference).tolist())
            if free is not None:
                ungated += _scored(pair.name, ids[pair.name], free, options)
                _count_lost(lost, parts, free, options.labels)
            told(done, len(pairs))
    if not failed:
        options.renumbering.refuse_unseen()
    note = hint(*seen, options.labels)
    names = list(dict.fromkeys([*options.labels.values(), *(name for case in cases + ungated for name in case.labels)]))
    return Evaluation(
        cases=tuple(_completed(case, names) for case in cases),
        failed=failed,
        left_out=left_out,
        unused=len(unused),
        ungated=tuple(_completed(case, names) for case in ungated) if others else None,
        lost={name: rounded(n / max(1, of)) for name, (n, of) in lost.items()} if others else None,
        gated_tiles=run.gated,
        ids=ids,
        notes=() if note is None else (note,),
    )


def _aligned(pair: MaskPair, readers: Readers, slices: int | None, numbers: Renumbering) -> list[Aligned]:
    if pair.prediction is None:
        raise MissingPredictionError("there is no prediction for it")
    predicted, reference = (
        numbers.applied(readers.read_labels(mask.format, mask.path)) for mask in (pair.prediction, pair.reference)
    )
    return align(predicted, reference, slices)


class MissingPredictionError(SegcliError):
    """A reference without a prediction."""


def _scored(name: str, identifier: str, parts: list[Aligned], options: EvaluateOptions) -> Iterator[CaseScore]:
    for number, part in enumerate(parts):
        values = {int(v) for mask in (part.predicted, part.reference) for v in np.unique(mask)} - {0}
        labels = {value: options.labels.get(value, f"label {value}") for value in sorted(values | set(options.labels))}
        part_of = "" if len(parts) == 1 else f"[{number}]"
        called = name + part_of
        score = score_case(called, part.predicted, part.reference, labels, part.voxel)
        if options.tolerance is not None:
            steps = part.spacing or (1.0, 1.0, 1.0)
            masks = (part.predicted, part.reference)
            score = with_surfaces(score, masks, list(labels.items()), steps, options.tolerance)
        notes = part.notes if part.spacing is not None else (*part.notes, "no spacing: distances are in pixels")
        yield replace(score, notes=notes, id=identifier + part_of)


def _count_lost(
    lost: dict[str, list[int]], gated: list[Aligned], free: list[Aligned], labels: Mapping[int, str]
) -> None:
    for with_gate, without in zip(gated, free, strict=True):
        if with_gate.predicted.shape != without.predicted.shape:
            continue
        for value in (set(np.unique(without.reference).tolist()) | set(labels)) - {0}:
            right = (without.predicted == value) & (without.reference == value)
            count = lost.setdefault(labels.get(int(value), f"label {value}"), [0, 0])
            count[0] += int((right & (with_gate.predicted != value)).sum())
            count[1] += int(right.sum())


def _completed(case: CaseScore, names: list[str]) -> CaseScore:
    """A label that neither mask of a case holds is a label all the same: found absent, and rightly."""
    empty = LabelScore(0, 0, 0, case.voxel)
    return replace(case, labels={name: case.labels.get(name, empty) for name in names})
