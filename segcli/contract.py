"""Everything a model plugin may import: the card, the plugin protocol and the network protocols.

Importing this module imports neither torch nor numpy, so a plugin's listing object stays light.
A plugin registers one object that satisfies :class:`ModelPlugin` under the entry-point group ``segcli.models``.

Axes: a 2-D network sees ``[batch, channel, row, column]``, a 3-D network ``[batch, channel, slice, row, column]``.
All lengths in the card follow the tile's axes (rows, columns; 3-D: slices first); spacing is in mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

API_VERSION = 1
"""The version of this contract. A plugin states the one it was written for in ``api``."""

ENTRY_POINT_GROUP = "segcli.models"

Activation: TypeAlias = Literal["softmax", "sigmoid", "none"]
IntensityKind: TypeAlias = Literal["zscore", "window", "percentile", "none"]
IntensityScope: TypeAlias = Literal["case", "slice"]
Plane: TypeAlias = Literal["axial", "coronal", "sagittal"]


@dataclass(frozen=True)
class Code:
    """A coded term (DICOM PS3.16): coding scheme designator, code value, code meaning (at most 64 characters)."""

    scheme: str
    code: str
    meaning: str


@dataclass(frozen=True)
class Label:
    """One foreground class. ``value`` is what stands in the label map (1-65535); background is 0 and implicit."""

    value: int
    name: str
    color: tuple[int, int, int]
    category: Code | None = None
    type: Code | None = None


@dataclass(frozen=True)
class Intensity:
    """How raw intensities become network input, per channel.

    ``zscore``: (x − mean) / std, with the statistics of the case or slice unless ``mean`` and ``std`` are given.
    ``window``: [low, high] → [0, 1], clipped. ``percentile``: the same with the ``low``-th and ``high``-th percentile
    (0-100) of the case or slice. ``none``: unchanged.
    """

    kind: IntensityKind = "zscore"
    scope: IntensityScope = "case"
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class Gate:
    """Presence thresholds per label and how they were found; a threshold of 0 never gates its label."""

    threshold: tuple[float, ...]
    positives: tuple[int, ...]
    patients: tuple[int, ...]
    sensitivity: tuple[float, ...]
    lower_bound: tuple[float, ...]
    auroc: tuple[float, ...]
    gated_empty: float


@dataclass(frozen=True)
class EmptyFilter:
    """For a network without a presence head: what counts as an empty slice (of a 3-D model: as an empty stack).

    A label is taken off a slice on which the mean of its ``top_k`` highest probabilities is below its ``threshold``; a
    threshold of 0 never takes its label off. The rest is how the thresholds were found, as for a gate; ``positives``
    are slices with the label, ``emptied_empty`` is the share of empty slices that lose every label.
    """

    top_k: int
    threshold: tuple[float, ...]
    positives: tuple[int, ...]
    patients: tuple[int, ...]
    sensitivity: tuple[float, ...]
    lower_bound: tuple[float, ...]
    auroc: tuple[float, ...]
    emptied_empty: float


@dataclass(frozen=True)
class Scope:
    """What the images were like that a model was trained on. With what is None nothing is compared.

    Ranges are (smallest, largest) of the training images themselves, one per axis of the tile (of a 2-D card also
    three, slices first): ``field_of_view_mm``; ``field_of_view_px``, in pixels of the network's grid; ``spacing``, mm
    of the pixels as stored. ``body_part``: words of DICOM's BodyPartExamined. ``planes``: in which slices lay.
    """

    field_of_view_mm: tuple[tuple[float, float], ...] | None = None
    field_of_view_px: tuple[tuple[int, int], ...] | None = None
    spacing: tuple[tuple[float, float], ...] | None = None
    body_part: tuple[str, ...] | None = None
    planes: tuple[Plane, ...] | None = None


@dataclass(frozen=True)
class ModelCard:
    """What was trained, as ``config.json`` of a model folder states it.

    ``spacing`` (mm) and ``orientation`` (towards what the column, row and slice index increase, e.g. ``LPS``) are
    None where the network takes images as stored. A 2-D card with ``context_slices`` may state three spacings, slices
    first: the k-th neighbour is then the slice nearest to k times that far away. ``margin`` is what a valid convolution
    loses on each side, in pixels. ``modality`` None means any. ``schema`` is 1, or 2 in a card with a ``scope``.
    """

    plugin: str
    name: str
    version: str
    license: str
    spatial_dims: int
    channels: tuple[str, ...]
    labels: tuple[Label, ...]
    tile: tuple[int, ...]
    overlap: tuple[int, ...]
    margin: tuple[int, ...]
    activation: Activation = "softmax"
    threshold: float = 0.5
    intensity: Intensity = Intensity()
    modality: str | None = None
    context_slices: int = 0
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    gate: Gate | None = None
    empty_filter: EmptyFilter | None = None
    scope: Scope | None = None
    plugin_options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    attribution: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    schema: int = 1

    @property
    def network_channels(self) -> int:
        """Channels of the network's input: each image channel once per slice of context."""
        return len(self.channels) * (2 * self.context_slices + 1)

    @property
    def network_outputs(self) -> int:
        """Channels of the network's output: background and labels, or labels alone for ``sigmoid``."""
        return len(self.labels) + (0 if self.activation == "sigmoid" else 1)


Features: TypeAlias = "tuple[Tensor, ...]"
"""What an encoder hands to a decoder. Every tensor has the batch on axis 0."""


@runtime_checkable
class Network(Protocol):
    """A network the engine can run. A side ``s`` fits if ``(s − offset) % multiple == 0``."""

    multiple: int
    offset: int

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, *spatial]`` float → logits ``[B, K, *(spatial − 2·margin)]``."""
        ...


def fits(sides: Sequence[int], multiple: int, offset: int) -> bool:
    """Whether a network with these two numbers takes tiles of these sides."""
    return all(side >= 1 and (side - offset) % multiple == 0 for side in sides)


@runtime_checkable
class GatedNetwork(Network, Protocol):
    """A network whose presence head tells before the decoder runs which labels a tile holds.

    A network built without the head sets ``presence = None`` and thereby does not satisfy this protocol.
    """

    def encode(self, x: Tensor) -> Features:
        """``[B, C, *spatial]`` → features, batch on axis 0 of each."""
        ...

    def presence(self, features: Features) -> Tensor:
        """Features → logits ``[B, labels]``: is label k in this tile?"""
        ...

    def decode(self, features: Features) -> Tensor:
        """Features of any subset of the batch → logits of that subset; ``forward = decode ∘ encode``."""
        ...


@runtime_checkable
class TrainableNetwork(Network, Protocol):
    """A network ``segcli train`` can train."""

    def training_outputs(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """``[B, C, *spatial]`` → (logit maps, full resolution first; presence logits ``[B, labels]`` or None)."""
        ...


@runtime_checkable
class ModelPlugin(Protocol):
    """The object behind an entry point. Importing it must import no torch."""

    @property
    def api(self) -> int:
        """The :data:`API_VERSION` it was written for."""
        ...

    @property
    def name(self) -> str:
        """The word after ``--model``; equal to the entry point's name."""
        ...

    @property
    def summary(self) -> str:
        """One line for ``segcli models list``."""
        ...

    def example(self) -> ModelCard:
        """The cheapest card it can build; the conformance kit runs on it."""
        ...

    def build(self, card: ModelCard) -> nn.Module:
        """A fresh CPU network for the card; raises ValueError naming any unknown option in ``card.plugin_options``."""
        ...

    def default(self) -> Path | None:
        """The model folder that ships with the plugin, or None."""
        ...
