"""One call of ``segcli train``: data set → card → training → gate → metrics → a model folder predict uses at once."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from segcli.catalog import Catalog
from segcli.contract import ModelCard
from segcli.errors import ModelError, UsageError
from segcli.evaluation.summary import summarise
from segcli.model_folder import CARD_NAME, save_model_folder
from segcli.settings import PredictSettings
from segcli.training.calibrate import Calibration
from segcli.training.checkpoint import NOTES, Checkpoints
from segcli.training.finish import calibrate, slimmed, stored_state, with_options
from segcli.training.history import History, Row
from segcli.training.loop import Hardware, train
from segcli.training.options import PRESETS, TrainOptions
from segcli.training.planning import Plan, build, make_plan
from segcli.training.plots import can_plot, plot_history
from segcli.training.validation import measure, never_predicted, scores, segment

CHECKPOINTS = "checkpoint"


@dataclass(frozen=True)
class Progress:
    """Where a run is. ``seconds_left``: as the steps so far let expect. ``validation``: the latest figures."""

    step: int
    steps: int
    loss: float
    seconds_left: float
    validation: Row | None


class Listener(Protocol):
    """Who is told how the training goes (the console)."""

    def reading(self, done: int, total: int) -> None:
        """So many cases of the data set are read."""
        ...

    def planned(self, plan: Plan, hardware: Hardware) -> None:
        """What will be trained; said before the first step."""
        ...

    def progressed(self, progress: Progress) -> None:
        """After every step."""
        ...

    def validated(self, row: Row) -> None:
        """After every validation."""
        ...

    def calibrated(self, card: ModelCard, calibration: Calibration) -> None:
        """The gate, or why there is none."""
        ...

    def warned(self, text: str) -> None:
        """What nobody may miss about the finished model."""
        ...


def run_training(
    options: TrainOptions, catalog: Catalog, hardware: Hardware, listener: Listener, stop: Callable[[], bool]
) -> ModelCard:
    """Train into ``options.folder`` and return the card as written there.

    Raises UsageError before anything is trained; StoppedError once ``stop()`` is true, the checkpoint then written.
    """
    check_folder(options)
    plan = make_plan(options, catalog, listener.reading)
    listener.planned(plan, hardware)
    for text in plan.warnings:
        listener.warned(text)
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.recipe.seed)
    network = build(plan, catalog)
    checkpoints = Checkpoints(
        options.folder / CHECKPOINTS, options.run.checkpoint_every, plan.identity(hardware), options.run.resume
    )
    watcher = _Watcher(options, plan, hardware, listener)
    averaged = train(
        network, plan.cases, plan.recipe, watcher.step, activation=plan.card.activation, hardware=hardware,
        checkpoints=checkpoints, stop=stop,
    )  # fmt: skip
    card = _finished(options, plan, catalog, averaged, hardware, listener)
    checkpoints.remove()
    return card


def check_folder(options: TrainOptions) -> None:
    """Raise UsageError if the output folder holds a model, or an unfinished run that --resume does not name."""
    folder, run = options.folder, options.run
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: choose another -o")
    if (folder / CHECKPOINTS / NOTES).is_file() and not (run.resume or run.overwrite):
        raise UsageError(f"{folder} holds an unfinished run: --resume goes on with it, --overwrite begins anew")
    if (folder / CARD_NAME).is_file() and not (folder / CHECKPOINTS / NOTES).is_file() and not run.overwrite:
        raise UsageError(f"{folder} holds a model already: choose another -o, or --overwrite")
    if folder.resolve() == options.dataset.resolve() or folder.resolve().is_relative_to(options.dataset.resolve()):
        raise UsageError(f"{folder} lies inside the data set: choose another -o")


class _Watcher:
    """Validates now and then, keeps the history, tells the listener."""

    def __init__(self, options: TrainOptions, plan: Plan, hardware: Hardware, listener: Listener) -> None:
        self._plan, self._listener, self._folder = plan, listener, options.folder
        validations = PRESETS[options.recipe.preset]["validations"]
        self._every = options.run.validate_every or max(1, plan.recipe.steps // validations)
        self._settings = PredictSettings(device=str(hardware.device), precision=hardware.precision)  # type: ignore[arg-type]
        self._history: History | None = None
        self._clock = Clock(plan.recipe.steps, self._every)

    def step(self, step: int, losses: Sequence[float], averaged: nn.Module) -> None:
        if self._history is None:
            self._history = History(self._folder, after=step - 1)
        self._clock.stepped(step)
        steps = self._plan.recipe.steps
        if step % self._every == 0 or step == steps:
            since = self._history.rows[-1].step if self._history.rows else 0
            row = self._validated(step, float(np.mean(losses[since:])), averaged)
            self._history.add(row)
            self._listener.validated(row)
            if can_plot():
                plot_history(self._folder, self._history.rows)
            self._clock.validated()
        last = self._history.rows[-1] if self._history.rows else None
        self._listener.progressed(Progress(step, steps, losses[-1], self._clock.left(), last))

    def _validated(self, step: int, mean: float, averaged: nn.Module) -> Row:
        card, examples = replace(self._plan.card, gate=None), self._plan.validation
        if not examples:
            return Row(step, mean, None, None, None, {label.name: None for label in card.labels})
        found = summarise(scores(segment(averaged, card, examples, self._settings, "off"), examples, card))
        return Row(
            step,
            mean,
            found["dice"],
            found["slices"]["specificity"],
            found["slices"]["sensitivity"],
            {name: each["dice"] for name, each in found["labels"].items()},
        )


class Clock:
    """How long the rest will take: steps and validations each as those so far let expect."""

    def __init__(self, steps: int, every: int) -> None:
        self._steps, self._every = steps, every
        self._at = time.monotonic()
        self._step, self._taken, self._training, self._first = 0, 0, 0.0, 0.0
        self._validations, self._validating = 0, 0.0

    def stepped(self, step: int) -> None:
        """One more step is done; of a resumed run the first is not the number 1."""
        lap = self._lap()
        self._first = self._first or lap
        self._step, self._taken, self._training = step, self._taken + 1, self._training + lap

    def validated(self) -> None:
        """One more validation is done."""
        self._validations += 1
        self._validating += self._lap()

    def left(self) -> float:
        """Seconds."""
        remaining = self._steps - self._step
        validations = -(-self._steps // self._every) - self._step // self._every if remaining else 0
        each = self._validating / self._validations if self._validations else 0.0
        pace = self._training / max(1, self._taken)
        if self._taken > 1:  # the first step warms up what the others find warm
            pace = (self._training - self._first) / (self._taken - 1)
        return remaining * pace + validations * each

    def _lap(self) -> float:
        before, self._at = self._at, time.monotonic()
        return self._at - before


def _finished(
    options: TrainOptions, plan: Plan, catalog: Catalog, averaged: nn.Module, hardware: Hardware, listener: Listener
) -> ModelCard:
    card, network = plan.card, averaged
    if plan.card.plugin_options.get("deep_supervision"):
        slim_card = with_options(card, deep_supervision=False)
        slim = _slim(averaged, slim_card, catalog)
        card, network = (slim_card, slim) if slim is not averaged else (card, averaged)
    state = stored_state(network, options.run.weights)
    how = {"seed": plan.recipe.seed, "fewest_present": plan.recipe.fewest_present}
    found = calibrate(network, card, plan.validation, hardware, how, options.folder).calibration
    listener.calibrated(replace(card, gate=found.gate), found)
    settings = PredictSettings(device=str(hardware.device), precision=hardware.precision)  # type: ignore[arg-type]
    held = {"test": plan.test, "validation": plan.validation}
    card = replace(card, gate=found.gate)
    metrics = {name: measure(network, card, examples, settings) for name, examples in held.items() if examples}
    never = never_predicted(metrics)
    for text in never:
        listener.warned(text)
    training = training_record(options, plan, hardware, found.reason, [*plan.warnings, *never])
    return save_model_folder(options.folder, replace(card, metrics=metrics, training=training), state)


def _slim(network: nn.Module, card: ModelCard, catalog: Catalog) -> nn.Module:
    try:
        slim = catalog.find(card.plugin).build(card)
    except ModelError:
        return network
    return slimmed(network, slim, card)


def training_record(
    options: TrainOptions, plan: Plan, hardware: Hardware, no_gate: str, warnings: Sequence[str]
) -> Mapping[str, Any]:
    """What the card says about how it was made; JSON values only."""
    record: dict[str, Any] = {
        **plan.card.training,
        "data": plan.data,
        "cases": {"train": len(plan.names["train"]), "validation": len(plan.validation), "test": len(plan.test)},
        "split": dataclasses.asdict(plan.split),
        "groups": plan.grouping,
        "recipe": dataclasses.asdict(plan.recipe),
        "hardware": {"device": hardware.device.type, "precision": hardware.precision},
        "torch": torch.__version__,
    }
    if plan.start:
        record["from"] = plan.start
    if no_gate:
        record["no_gate"] = no_gate
    if warnings:
        record["warnings"] = list(warnings)
    return json.loads(json.dumps(record))  # type: ignore[no-any-return]
