"""Two models that find something in any picture: brighter, or darker, than the mean by half a standard deviation.

A model that was trained on MR finds nothing on CT, and empty masks prove nothing about reading and writing. The folder
holds a distribution of its own (code and entry points), so that putting it on ``sys.path`` installs both plugins.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from segcli.contract import Code, Intensity, Label, ModelCard

THRESHOLD = 0.5
"""In standard deviations of the case."""


class Threshold:
    """``sign`` 1: label 1 where z > t; -1: where z < -t."""

    api = 1

    def __init__(self, name: str, sign: int) -> None:
        self.name, self.sign = name, sign
        self.summary = f"{name} than the mean by {THRESHOLD} standard deviations"

    def example(self) -> ModelCard:
        return ModelCard(
            plugin=self.name, name=self.name, version="1.0.0", license="MIT", spatial_dims=2, channels=("grey",),
            labels=(
                Label(
                    1, self.name, (255, 0, 0),
                    Code("SCT", "49755003", "Morphologically Abnormal Structure"), Code("SCT", "4147007", "Mass"),
                ),
            ),
            tile=(64, 64), overlap=(8, 8), margin=(0, 0), intensity=Intensity(kind="zscore"),
        )  # fmt: skip

    def default(self) -> Path | None:
        return None

    def build(self, card: ModelCard) -> Any:
        import torch  # noqa: PLC0415 - a listing object imports no torch

        sign = self.sign

        class Network(torch.nn.Module):
            multiple, offset = 1, 0

            def __init__(self) -> None:
                super().__init__()
                self.threshold = torch.nn.Parameter(torch.tensor(THRESHOLD))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                logit = 20 * (sign * x - self.threshold)
                return torch.cat([torch.zeros_like(logit), logit], 1)

        return Network()


brighter = Threshold("brighter", 1)
darker = Threshold("darker", -1)


def save(folder: Path) -> None:
    """A model folder for each: ``folder/brighter`` and ``folder/darker``."""
    from segcli.model_folder import save_model_folder  # noqa: PLC0415 - imports torch

    for plugin in (brighter, darker):
        target = folder / plugin.name
        target.mkdir(parents=True, exist_ok=True)
        card = plugin.example()
        save_model_folder(target, card, plugin.build(card).state_dict())


if __name__ == "__main__":
    save(Path(sys.argv[1]))
