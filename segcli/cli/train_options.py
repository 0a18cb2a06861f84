"""The options of ``segcli train``, each once, in the groups in which :mod:`segcli.training.options` carries them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from segcli.cli.options import AutoInt
from segcli.training.options import CardOptions, DataOptions, RecipeOptions, RunOptions, SplitOptions

F = TypeVar("F", bound=Callable[..., Any])


class Numbers(click.ParamType[tuple[float, ...]]):
    """Two or three numbers, ``64,64``."""

    def __init__(self, kind: Callable[[str], float], name: str) -> None:
        self.kind, self.name = kind, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Text → numbers."""
        try:
            numbers = tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (2, 3) or not all(0 < number < 1e5 for number in numbers):
            self.fail(f"{value!r} is not two or three positive numbers such as 64,64", param, ctx)
        return numbers


class Names(click.ParamType[tuple[str, ...]]):
    """``T1,FLAIR``."""

    name = "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Text → names."""
        names = value if isinstance(value, tuple) else tuple(part.strip() for part in str(value).split(","))
        if not all(names) or len(set(names)) != len(names):
            self.fail(f"{value!r} is not a list of different names such as T1,FLAIR", param, ctx)
        return names


class NamedLabel(click.ParamType[tuple[int, str]]):
    """``VALUE=NAME``."""

    name = "VALUE=NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, str]:
        """Text → pair."""
        if isinstance(value, tuple):
            return value
        number, equals, name = str(value).partition("=")
        if not (equals and name and number.isdecimal() and 1 <= int(number) <= 65535):
            self.fail(f"{value!r} is not VALUE=NAME with a value from 1 to 65535, e.g. 1=tumour", param, ctx)
        return int(number), name


class PluginOption(click.ParamType[tuple[str, Any]]):
    """``NAME=VALUE``, the value as in JSON (a bare word is a text)."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Text → pair."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not NAME=VALUE, e.g. base=32", param, ctx)
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


class ShareOrCount(click.ParamType[float]):
    """A share below 1, or a whole number of groups."""

    name = "SHARE|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text → number."""
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if number < 0 or (number >= 1 and number != int(number)):
            self.fail(f"{value!r} is neither a share below 1 nor a whole number of groups", param, ctx)
        return number


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_S, _R, _U = SplitOptions(), RecipeOptions(), RunOptions()

NUMBERED_MASKS = click.option("--numbered-masks", type=click.Choice(["labels", "instances"]),
                              help="What the numbers of a_mask_1, a_mask_2 are.")  # fmt: skip
CARD = (
    click.option("--name", help="What the model is called; default: the data set's name."),
    click.option("--dims", type=click.Choice(["2", "3"]), help="2-D (slices) or 3-D; default: 2."),
    click.option("--channels", type=Names(), help="Names of the channels; default: dataset.json's."),
    click.option("--label", "labels", type=NamedLabel(), multiple=True, help="Name of a label; may be repeated."),
    click.option("--modality", help="DICOM modality the model is for, e.g. MR; default: from the data."),
    click.option("--spacing", type=Numbers(float, "[S,]R,C"), help="mm the network sees; default: the median."),
    click.option("--orientation", help="E.g. LPS; default: the usual one for the plane of the slices."),
    click.option("--tile", type=Numbers(int, "[S,]R,C"), help="Pixels; default: what holds the largest image."),
    click.option("--context-slices", type=click.IntRange(0, 8), help="Neighbours on each side seen as channels."),
    click.option("--activation", type=click.Choice(["softmax", "sigmoid"]), help="Default: softmax."),
    click.option("--intensity", help="zscore[:slice], window:LOW,HIGH, percentile:LOW,HIGH or none; "
                 "default: zscore, for CT a window."),
    click.option("--option", "plugin_options", type=PluginOption(), multiple=True,
                 help="Option of the network, e.g. base=32; may be repeated."),
    click.option("--deep-supervision", is_flag=True, help="Supervise the network's inner maps too."),
    click.option("--card", type=_FILE, help="JSON file of card fields that override all others."),
)  # fmt: skip
SPLIT = (
    click.option("--groups", type=_FILE, help="CSV (case,group) or JSON: cases of one patient."),
    click.option("--group-pattern", help="Regular expression: the group in a case's name."),
    click.option("--validation", type=ShareOrCount(), default=_S.validation, show_default=True,
                 help="Groups held out for the curves and the gate."),
    click.option("--test", type=ShareOrCount(), default=_S.test, show_default=True,
                 help="Groups held out for the card's metrics."),
    click.option("--seed", type=click.IntRange(0), default=_S.seed, show_default=True, help="Of split and training."),
    click.option("--split-seed", type=click.IntRange(0), help="Of the split; default: --seed."),
)  # fmt: skip
RECIPE = (
    click.option("--preset", type=click.Choice(["default", "smoke"]), default=_R.preset, show_default=True,
                 help="smoke: a tiny network, a sample of the cases; minutes on a CPU."),
    click.option("--steps", type=click.IntRange(1), help="Batches to train on; default: 2400 (smoke: 60)."),
    click.option("--batch", type=AutoInt(), default="auto", show_default=True, help="Crops a batch."),
    click.option("--rate", type=click.FloatRange(0, min_open=True), help="Learning rate; default: 0.003."),
    click.option("--loss", type=click.Choice(["dice", "hybrid"]), default=_R.loss, show_default=True,
                 help="Cross-entropy + Dice, or the UNet 3+ paper's."),
    click.option("--dice-over", type=click.Choice(["batch", "image"]), default=_R.dice_over, show_default=True,
                 help="What one Dice of the loss is taken over."),
    click.option("--ms-ssim", type=click.FloatRange(0), default=_R.ms_ssim, show_default=True,
                 help="Weight of 1 − MS-SSIM beside the dice loss."),
    click.option("--presence-weight", type=click.FloatRange(0), default=_R.presence_weight, show_default=True,
                 help="Weight of the presence loss."),
    click.option("--empty-share", type=click.FloatRange(0, 0.9), default=_R.empty_share, show_default=True,
                 help="Share of empty crops in a batch."),
    click.option("--average", type=click.FloatRange(0, 1, max_open=True),
                 help="Decay of the averaged weights; default: 0.995 (smoke: 0.9)."),
    click.option("--flip", type=click.Choice(["none", "rows", "columns", "slices"]), multiple=True,
                 help="Axes mirrored at random; may be repeated; default: columns."),
    click.option("--rotation", type=click.FloatRange(0, 180), default=_R.rotation, show_default=True,
                 help="Degrees of random rotation in the plane."),
)  # fmt: skip
RUN = (
    click.option("--device", default=_U.device, show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default=_U.precision,
                 show_default=True, help="What the network computes in."),
    click.option("--checkpoint-every", type=click.IntRange(1), default=_U.checkpoint_every, show_default=True,
                 help="Steps between checkpoints."),
    click.option("--validate-every", type=click.IntRange(1), help="Steps; default: a tenth of all (smoke: half)."),
    click.option("--resume", is_flag=True, help="Go on where an ended run left its checkpoint."),
    click.option("--overwrite", is_flag=True, help="Replace the model or unfinished run in the folder."),
    click.option("--weights", type=click.Choice(["float16", "float32"]), default=_U.weights, show_default=True,
                 help="What the weights are stored in."),
)  # fmt: skip


def train_options(command: F) -> F:
    """All of them."""
    for option in reversed((NUMBERED_MASKS, *CARD, *SPLIT, *RECIPE, *RUN)):
        command = option(command)
    return command


def split_up(values: dict[str, Any]) -> tuple[DataOptions, CardOptions, SplitOptions, RecipeOptions, RunOptions]:
    """The command line's words → the five carriers."""
    values["dims"] = None if values["dims"] is None else int(values["dims"])
    values["labels"] = dict(values["labels"])
    values["plugin_options"] = dict(values["plugin_options"])
    flips = tuple(axis for axis in values["flip"] if axis != "none")
    values["flip"] = flips if values["flip"] else None
    kinds = (DataOptions, CardOptions, SplitOptions, RecipeOptions, RunOptions)
    found = [kind(**{name: values[name] for name in kind.__dataclass_fields__}) for kind in kinds]
    return tuple(found)  # type: ignore[return-value]
