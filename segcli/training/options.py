"""The options of ``segcli train`` on their way down. None: derived from the data, or as the preset has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from segcli.pairing.names import Numbered
from segcli.settings import Precision

Preset: TypeAlias = Literal["default", "smoke"]


@dataclass(frozen=True)
class CardOptions:
    """What of the card is given instead of derived. ``tile`` in pixels, ``spacing`` in mm, in the order of the tile.

    ``intensity``: ``zscore``, ``zscore:slice``, ``window:LOW,HIGH``, ``percentile:LOW,HIGH`` or ``none``.
    ``card``: a JSON file of card fields that override everything else.
    """

    name: str | None = None
    dims: int | None = None
    channels: tuple[str, ...] | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    modality: str | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    tile: tuple[int, ...] | None = None
    context_slices: int | None = None
    activation: str | None = None
    intensity: str | None = None
    plugin_options: Mapping[str, Any] = field(default_factory=dict)
    deep_supervision: bool = False
    card: Path | None = None


@dataclass(frozen=True)
class DataOptions:
    """``numbered_masks``: what the numbers in names such as ``a_mask_2`` are."""

    numbered_masks: Numbered | None = None


@dataclass(frozen=True)
class SplitOptions:
    """Which cases belong together, and how many groups (or which share of them) are held out.

    ``seed`` is that of training too, and of the split unless ``split_seed`` is given.
    """

    groups: Path | None = None
    group_pattern: str | None = None
    validation: float = 0.15
    test: float = 0.15
    seed: int = 0
    split_seed: int | None = None


@dataclass(frozen=True)
class RecipeOptions:
    """How long and how it is trained; see :class:`segcli.training.loop.Recipe`."""

    preset: Preset = "default"
    steps: int | None = None
    batch: int | None = None
    rate: float | None = None
    loss: str = "dice"
    dice_over: str = "batch"
    ms_ssim: float = 0.0
    presence_weight: float = 0.3
    empty_share: float = 0.35
    average: float | None = None
    flip: tuple[str, ...] | None = None
    rotation: float = 15.0


TOP_K = 50
"""Pixels of a slice an empty filter averages: few enough for a small object, too many for a stray pixel."""


@dataclass(frozen=True)
class RunOptions:
    """Where it runs and what it leaves behind. ``checkpoint_every``, ``validate_every``: steps."""

    device: str = "auto"
    precision: Precision = "auto"
    checkpoint_every: int = 100
    validate_every: int | None = None
    resume: bool = False
    overwrite: bool = False
    weights: Literal["float16", "float32"] = "float16"


@dataclass(frozen=True)
class TrainOptions:
    """One call of ``segcli train``. ``start``: model folder to start from (``--from``)."""

    dataset: Path
    folder: Path
    model: str
    start: Path | None = None
    data: DataOptions = DataOptions()
    card: CardOptions = CardOptions()
    split: SplitOptions = SplitOptions()
    recipe: RecipeOptions = RecipeOptions()
    run: RunOptions = RunOptions()


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "default": {
            "steps": 2400, "rate": 3e-3, "average": 0.995, "warm_up": 100, "validations": 10, "plugin_options": {},
        },
        "smoke": {
            "steps": 60, "rate": 1e-2, "average": 0.9, "warm_up": 10, "validations": 2, "plugin_options": {"base": 4},
        },
    }
)  # fmt: skip
"""What a preset stands for where no option says otherwise; ``smoke`` shows in minutes that everything works."""
