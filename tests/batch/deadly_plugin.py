"""A third party's plugin that ends the process, or never returns, when it sees a white picture."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from segcli.contract import API_VERSION, Intensity, Label, ModelCard

METADATA = "Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n"
ENTRY_POINTS = "[segcli.models]\ndeadly = deadly_plugin:plugin\n"


class Deadly(nn.Module):
    """Brighter than 100 is the object; anything brighter than 250 is the end."""

    multiple = 1
    offset = 0

    def __init__(self, deed: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.deed = deed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x > 250).any()):
            if self.deed == "exit":
                os._exit(9)
            time.sleep(600)
        return torch.cat([100 - x, x - 100], dim=1) * self.weight


@dataclass(frozen=True)
class Plugin:
    name: str = "deadly"
    summary: str = "kills"
    api: int = API_VERSION

    def example(self) -> ModelCard:
        return ModelCard(
            plugin="deadly", name="deadly", version="0", license="CC0-1.0", spatial_dims=2, channels=("grey",),
            labels=(Label(1, "object", (255, 170, 0)),), tile=(16, 16), overlap=(4, 4), margin=(0, 0),
            intensity=Intensity("none", "case"), plugin_options={"deed": "exit"},
        )  # fmt: skip

    def build(self, card: ModelCard) -> nn.Module:
        return Deadly(str(card.plugin_options["deed"]))

    def default(self) -> Path | None:
        return None


plugin = Plugin()


def install(folder: Path) -> None:
    """Make ``folder`` a place on the path in which this plugin is installed."""
    information = folder / "deadly-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(METADATA)
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "deadly_plugin.py").write_bytes(Path(__file__).read_bytes())


def main() -> int:
    """``segcli`` whose watchdog gives the network no minute of grace."""
    from segcli.batch.tools import Tools  # noqa: PLC0415 - a plugin imports the contract only
    from segcli.cli.main import run  # noqa: PLC0415

    return run(sys.argv[1:], Tools(grace=0.0))


if __name__ == "__main__":
    sys.exit(main())
