"""The three networks that come with segcli, registered through entry points like any third party's.

Importing this module imports no torch: the networks are imported when one is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.contract import API_VERSION, Label, ModelCard

if TYPE_CHECKING:
    from torch import nn

_COMMON = frozenset({"base", "norm", "bias", "presence", "dropout"})
_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Plugin:
    """One network behind the contract; ``options`` are the names its card may use in ``plugin_options``."""

    name: str
    summary: str
    options: frozenset[str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    api: int = API_VERSION

    def example(self) -> ModelCard:
        """A tiny 2-D card with one label."""
        return ModelCard(
            plugin=self.name,
            name=f"{self.name}-example",
            version="0",
            license="CC0-1.0",
            spatial_dims=2,
            channels=("grey",),
            labels=(Label(1, "object", (255, 170, 0)),),
            tile=(32, 32),
            overlap=(8, 8),
            margin=(0, 0),
            plugin_options={"base": 2},
        )

    def default(self) -> Path | None:
        """The model folder shipped inside this package, if there is one."""
        folder = _WEIGHTS / self.name
        return folder if (folder / "config.json").is_file() else None

    def build(self, card: ModelCard) -> nn.Module:
        """A fresh CPU network. Raises ValueError naming an unknown option, or a margin the network does not have."""
        from segcli_models.blocks import Options, Shape  # noqa: PLC0415 - listing models must not import torch
        from segcli_models.encoder import VALID_MARGIN  # noqa: PLC0415
        from segcli_models.u_net import UNet  # noqa: PLC0415
        from segcli_models.u_net_3_plus import UNet3Plus  # noqa: PLC0415
        from segcli_models.u_net_plus_plus import UNetPlusPlus  # noqa: PLC0415

        options = Options.of(card.plugin_options, self.options, self.defaults)
        margin = VALID_MARGIN if options.padding == "valid" else 0
        if any(lost != margin for lost in card.margin):
            raise ValueError(f"the card's margin is {list(card.margin)}, this network loses {margin} on each side")
        shape = Shape(card.spatial_dims, card.network_channels, card.network_outputs, len(card.labels), card.activation)
        networks = {"unet": UNet, "unetpp": UNetPlusPlus, "unet3p": UNet3Plus}
        return networks[self.name](shape, options)


unet = Plugin("unet", "U-Net (2015)", _COMMON | {"padding"})
unetpp = Plugin("unetpp", "U-Net++ (2018): nested skips", _COMMON | {"deep_supervision", "inference", "level"})
unet3p = Plugin(
    "unet3p",
    "UNet 3+ (2020): full-scale skips, classification-guided gate",
    _COMMON | {"deep_supervision"},
    {"presence": True},
)
