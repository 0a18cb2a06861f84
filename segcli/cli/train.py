"""``segcli train``."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from segcli.cli.options import plugins_option
from segcli.cli.terminal import as_model, printable, say, show
from segcli.cli.train_options import split_up, train_options
from segcli.exit_code import ExitCode
from segcli.training.options import TrainOptions

if TYPE_CHECKING:
    from segcli.contract import EmptyFilter, ModelCard
    from segcli.training.calibrate import Calibration
    from segcli.training.history import Row
    from segcli.training.loop import Hardware
    from segcli.training.planning import Plan
    from segcli.training.session import Progress

LINE_EVERY = 10.0
"""Seconds between lines of progress where the output is no terminal."""


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-m", "--model", required=True, help="Name of the network (see `segcli models list`).")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model folder to write.")
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Model folder to start from (fine-tuning).",
)
@train_options
@plugins_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def train(
    dataset: Path,
    model: str,
    output: Path,
    start: Path | None,
    plugins_only: tuple[str, ...] | None,
    quiet: bool,
    **values: Any,
) -> int:
    """Train a network on DATASET: nnU-Net's raw layout, folders images and masks, or masks (a_mask) beside images (a).

    What is left out is derived from the data and shown before training starts.
    """  # fmt: skip
    options = TrainOptions(dataset, output, model, start, *split_up(values))
    run = options.run
    from segcli.catalog import load_catalog  # noqa: PLC0415 - `segcli --help` stays light

    catalog = load_catalog(plugins_only)
    catalog.find(model)
    from segcli.engine.device import choose_device, choose_precision  # noqa: PLC0415
    from segcli.training.loop import Hardware, StoppedError  # noqa: PLC0415
    from segcli.training.plots import MISSING, can_plot  # noqa: PLC0415
    from segcli.training.session import run_training  # noqa: PLC0415

    device = choose_device(run.device)
    hardware = Hardware(device, choose_precision(run.precision, device))
    heard = _listen()
    try:
        written = run_training(options, catalog, hardware, TrainingConsole(quiet), lambda: bool(heard))
    except StoppedError as error:
        say(f"segcli: {error}", err=True)
        return ExitCode.of_signal(heard[0])
    if not can_plot():
        say(MISSING)
    show_metrics(written)
    say(f"segcli predict INPUT --model {as_model(output)}")
    return ExitCode.DONE


def show_metrics(card: ModelCard) -> None:
    """Held-out figures of the card, one line a gate setting."""
    for part, settings in card.metrics.items():
        for name, found in settings.items():
            labels = ", ".join(f"{label} {_number(each['dice'])}" for label, each in found["labels"].items())
            slices = found["slices"]
            say(
                f"{part}, {name.replace('_', ' ')}: Dice {_number(found['dice'])} ({labels}); "
                f"false positives on {slices['empty_with_false_positive']} of {slices['empty']} empty slices; "
                f"labelled slices missed {slices['missed']} of {slices['with_label']}"
                + (f"; {found['tiles_gated']:.0%} of tiles skip the decoder" if "tiles_gated" in found else "")
            )


class TrainingConsole:
    """A line that renews itself on a terminal, a line now and then in a log. Case names are not shown."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stdout.isatty()
        self._last = 0.0

    def reading(self, done: int, total: int) -> None:
        """So many cases of the data set are read."""
        if self._terminal and not self._quiet:
            show(f"\rreading {done} of {total} cases", nl=done == total)

    def planned(self, plan: Plan, hardware: Hardware) -> None:
        """The card, the split and the recipe, in words."""
        card, recipe = plan.card, plan.recipe
        spacing = "as stored" if card.spacing is None else f"{_sizes(card.spacing)} mm"
        lines = {
            "data": plan.data,
            "split": f"{len(plan.split.train)} groups to train, {len(plan.split.validation)} validation, "
            f"{len(plan.split.test)} test; seed {recipe.seed}",
            "network": f"{card.plugin}, {card.spatial_dims}-D, options {dict(card.plugin_options)}",
            "channels": f"{', '.join(card.channels)}; modality {card.modality or 'any'}"
            + (f"; {card.context_slices} neighbouring slices on each side" if card.context_slices else ""),
            "labels": ", ".join(f"{label.value} {label.name}" for label in card.labels),
            "grid": f"orientation {card.orientation or 'as stored'}, spacing {spacing}, tile {_sizes(card.tile)}",
            "intensity": _intensity(card),
            "recipe": f"{recipe.steps} steps of {recipe.batch} crops, loss {recipe.loss}, rate {recipe.rate:g}; "
            f"{hardware.device} in {hardware.precision}",
        }
        for name, text in lines.items():
            say(f"{name:<10}{text}")
        for note in plan.notes:
            say(f"note      {note}")

    def progressed(self, progress: Progress) -> None:
        """One step more."""
        now = time.monotonic()
        if self._quiet or (now - self._last < (0.2 if self._terminal else LINE_EVERY)):
            return
        self._last = now
        row = progress.validation
        text = (
            f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}  {_duration(progress.seconds_left)} left"
        )
        if row is not None:
            text += f"  Dice {_number(row.dice)}  specificity {_number(row.specificity)}"
        show(f"\r{text:<78}" if self._terminal else text, nl=not self._terminal)

    def validated(self, row: Row) -> None:
        """Figures of the validation cases."""
        if self._quiet:
            return
        labels = ", ".join(f"{label} {_number(dice)}" for label, dice in row.by_label.items())
        if self._terminal:
            show("\r", nl=False)
        say(
            f"step {row.step}: loss {row.loss:.4f}, validation Dice {_number(row.dice)} ({labels}), "
            f"specificity {_number(row.specificity)} and sensitivity {_number(row.sensitivity)} over slices"
        )

    def calibrated(self, card: ModelCard, calibration: Calibration) -> None:
        """The gate."""
        show_gate(card, calibration)

    def warned(self, text: str) -> None:
        """On stderr, so that it is seen with --quiet and in a log that keeps errors only."""
        click.secho(f"segcli: WARNING: {printable(text)}", err=True, fg="red", bold=True)


def show_gate(card: ModelCard, calibration: Calibration) -> None:
    """Thresholds with what is known about them, or why there is no gate."""
    gate, empty_filter = calibration.gate, calibration.empty_filter
    if empty_filter is not None:
        _show_filter(card, empty_filter)
        return
    if gate is None:
        say(calibration.reason)
        return
    for index, label in enumerate(card.labels):
        say(
            f"gate {label.name}: threshold {gate.threshold[index]:g} keeps {gate.sensitivity[index]:.2%} of "
            f"{gate.positives[index]} positive tiles of {gate.patients[index]} groups "
            f"(95 % lower bound {gate.lower_bound[index]:.2%} if tiles were independent), AUROC {gate.auroc[index]:.4f}"
        )
    say(f"gate: {gate.gated_empty:.0%} of empty tiles skip the decoder")


def _show_filter(card: ModelCard, found: EmptyFilter) -> None:
    unit = "slices" if card.spatial_dims == 2 else "stacks"
    for index, label in enumerate(card.labels):
        say(
            f"empty filter {label.name}: threshold {found.threshold[index]:g} on the mean of the {found.top_k} highest "
            f"probabilities keeps {found.sensitivity[index]:.2%} of {found.positives[index]} {unit} with it, of "
            f"{found.patients[index]} groups (95 % lower bound {found.lower_bound[index]:.2%} if {unit} were "
            f"independent), AUROC {found.auroc[index]:.4f}"
        )
    say(f"empty filter: {found.emptied_empty:.0%} of empty {unit} lose every label; no computing is saved")


def _listen() -> list[int]:
    """The first signal ends the run after the step, with a checkpoint; the second ends it at once."""
    numbers: list[int] = []

    def heard(number: int, _: FrameType | None) -> None:
        if numbers:
            raise SystemExit(ExitCode.of_signal(number))
        numbers.append(number)
        say("segcli: writing a checkpoint; once more to stop at once", err=True)

    signal.signal(signal.SIGINT, heard)
    signal.signal(signal.SIGTERM, heard)
    return numbers


def _intensity(card: ModelCard) -> str:
    kind = card.intensity
    span = "" if kind.low is None else f" {kind.low:g} to {kind.high:g}"
    return f"{kind.kind}{span}" + (f" a {kind.scope}" if kind.kind in ("zscore", "percentile") else "")


def _sizes(numbers: tuple[float, ...]) -> str:
    return " × ".join(f"{number:g}" for number in numbers)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
