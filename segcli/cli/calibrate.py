"""``segcli calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from segcli.cli.options import plugins_option
from segcli.cli.terminal import say
from segcli.cli.train_options import NUMBERED_MASKS
from segcli.exit_code import ExitCode
from segcli.settings import Precision
from segcli.training.options import TOP_K, SplitOptions

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("folder", metavar="MODEL")
@click.argument("dataset", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="New model folder; default: MODEL is changed.")
@click.option("--groups", type=_FILE, help="CSV (case,group) or JSON: cases of one patient.")
@click.option("--group-pattern", help="Regular expression: the group in a case's name.")
@NUMBERED_MASKS
@click.option(
    "--part",
    type=click.Choice(["all", "validation"]),
    default="all",
    show_default=True,
    help="All cases, or the groups the card lists as validation.",
)
@click.option("--or-none", is_flag=True, help="Where no gate (or empty filter) can be found, write a card without one.")
@click.option(
    "--top-k",
    type=click.IntRange(1),
    default=TOP_K,
    show_default=True,
    help="Highest pixels of a slice that an empty filter averages.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling of groups.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="What the network computes in.",
)
@plugins_option
def calibrate(
    folder: str,
    dataset: Path,
    output: Path | None,
    part: Literal["all", "validation"],
    or_none: bool,
    device: str,
    precision: Precision,
    plugins_only: tuple[str, ...] | None,
    **how: Any,
) -> int:
    """Choose the gate of MODEL anew on DATASET, which must hold no case the model was trained on.

    The card is changed only if a gate is found; gate.csv and gate.png show what every threshold would do. A model
    without a presence head gets an empty filter instead (empty_filter.csv), which makes no run faster.
    """  # fmt: skip
    from segcli.catalog import load_catalog  # noqa: PLC0415 - `segcli --help` stays light

    catalog = load_catalog(plugins_only)
    from segcli.cli.train import TrainingConsole, show_gate  # noqa: PLC0415
    from segcli.engine.device import choose_device, choose_precision  # noqa: PLC0415
    from segcli.training.loop import Hardware  # noqa: PLC0415
    from segcli.training.recalibrate import CalibrateOptions, recalibrate  # noqa: PLC0415

    split = {name: how.pop(name) for name in ("groups", "group_pattern", "seed")}
    chosen = choose_device(device)
    hardware = Hardware(chosen, choose_precision(precision, chosen))
    options = CalibrateOptions(folder, dataset, output, SplitOptions(**split), part, or_none, **how)
    card, found, written = recalibrate(options, catalog, hardware, TrainingConsole(quiet=False).reading)
    show_gate(card, found)
    if not written:
        say("segcli: nothing was changed: more cases, or --or-none for a model without a gate or filter", err=True)
        return ExitCode.USAGE
    return ExitCode.DONE
