"""A model whose mask tells what the network was shown: which intensities, in which channel, and where.

Its options make a mask that can be worked out by hand from the image alone:

- ``levels``: a pixel gets the label whose place in the card is the number of levels below its value; below all of them
  it is background.
- ``weights``: its value is the sum of the channels, each times its weight (1 where nothing is said).
- ``shift``: what is found stands so many pixels of the network's further along each of the network's axes. The distance
  in mm tells the spacing it was shown, the direction tells the orientation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segcli.contract import Code, Intensity, Label, ModelCard

CATEGORY, TYPE = Code("SCT", "49755003", "Morphologically Abnormal Structure"), Code("SCT", "4147007", "Mass")


class Probe:
    """The plugin."""

    api = 1
    name = "probe"
    summary = "what the network was shown"

    def example(self) -> ModelCard:
        return probe_card()

    def default(self) -> Path | None:
        return None

    def build(self, card: ModelCard) -> Any:
        import torch  # noqa: PLC0415 - a listing object imports no torch

        options = {"levels": [0.5], "weights": [1] * card.network_channels, "shift": [0] * card.spatial_dims}
        if unknown := set(card.plugin_options) - set(options):
            raise ValueError(f"unknown options: {sorted(unknown)}")
        options |= card.plugin_options
        levels, weights, shift = (options[name] for name in ("levels", "weights", "shift"))

        class Network(torch.nn.Module):
            multiple, offset = 1, 0

            def __init__(self) -> None:
                super().__init__()
                self.levels = torch.nn.Parameter(torch.tensor(levels, dtype=torch.float32))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                value = sum(weight * x[:, channel] for channel, weight in enumerate(weights))
                found = sum((value > level).long() for level in self.levels)
                for axis, distance in enumerate(shift, start=1):
                    size = found.shape[axis]
                    if distance:  # what comes in from beyond the border is background
                        moved = torch.zeros_like(found)
                        moved.narrow(axis, distance, size - distance).copy_(found.narrow(axis, 0, size - distance))
                        found = moved
                which = torch.nn.functional.one_hot(found, card.network_outputs)
                return 20 * which.movedim(-1, 1).float()

        return Network()


probe = Probe()


def probe_card(**changes: Any) -> ModelCard:
    """A 2-D card that takes intensities as they are."""
    values: dict[str, Any] = {
        "plugin": "probe", "name": "probe", "version": "1.0.0", "license": "MIT", "spatial_dims": 2,
        "channels": ("grey",), "labels": (label(1),), "tile": (64, 64), "overlap": (0, 0), "margin": (0, 0),
        "intensity": Intensity("none"),
    }  # fmt: skip
    return ModelCard(**{**values, **changes})


def label(value: int) -> Label:
    """A label called after its value."""
    return Label(value, f"label {value}", (value % 256, 40, 200), CATEGORY, TYPE)


def save(folder: Path, **changes: Any) -> Path:
    """A model folder; returns it."""
    from segcli.model_folder import save_model_folder  # noqa: PLC0415 - imports torch

    card = probe_card(**changes)
    save_model_folder(folder, card, probe.build(card).state_dict())
    return folder
