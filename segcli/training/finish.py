"""From averaged weights to a model folder: rounded weights, a calibrated gate, metrics, the card that tells all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segcli.contract import GatedNetwork, ModelCard
from segcli.formats.atomic import write_bytes_atomically
from segcli.training.calibrate import Calibration, calibrate_gate, not_calibrated
from segcli.training.examples import Example
from segcli.training.gate_curve import NAME, format_curve, gate_curve
from segcli.training.loop import Hardware
from segcli.training.plots import can_plot, plot_gate
from segcli.training.presence import tile_scores

LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class Calibrated:
    """A gate, or why there is none, and on how many tiles (``unit``), how many of them empty, that rests."""

    calibration: Calibration
    tiles: int = 0
    empty: int = 0
    unit: str = "tiles"


def stored_state(network: nn.Module, kind: str) -> dict[str, Tensor]:
    """The weights as they will be stored, also put back into ``network``: what is measured is what is written.

    ``float16`` rounds the parameters; running statistics keep float32, which costs nothing and never overflows.
    """
    parameters = {name for name, _ in network.named_parameters()}
    state = {}
    for name, value in network.state_dict().items():
        small = name in parameters and bool(value.abs().max() < LARGEST_HALF)
        state[name] = value.detach().cpu().half() if kind == "float16" and small else value.detach().cpu()
    network.load_state_dict(state)
    return state


def calibrate(
    network: nn.Module,
    card: ModelCard,
    examples: Sequence[Example],
    hardware: Hardware,
    how: Mapping[str, Any],
    folder: Path,
) -> Calibrated:
    """Choose the gate on ``examples`` and leave its curve in ``folder``. ``how``: ``seed`` and ``fewest_present``."""
    if not isinstance(network, GatedNetwork):
        return Calibrated(
            Calibration(
                None,
                not_calibrated(
                    "the network has no presence head; `segcli calibrate` can choose an empty filter in its place"
                ),
            )
        )
    if not examples:
        return Calibrated(Calibration(None, not_calibrated("there is no validation case to choose its thresholds on")))
    scores = tile_scores(network, card, examples, hardware, int(how["fewest_present"]))
    calibration = calibrate_gate(scores.probability, scores.present, scores.group, int(how["seed"]))
    curve = gate_curve(scores)
    names = [label.name for label in card.labels]
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(folder / NAME, format_curve(curve, names).encode())
    if can_plot():
        plot_gate(folder, curve, names, calibration.gate)
    return Calibrated(calibration, len(scores.present), int((~scores.present.any(axis=1)).sum()))


def slimmed(network: nn.Module, slim: nn.Module, card: ModelCard) -> nn.Module:
    """``slim`` with the weights of ``network`` where it needs no others and says the same; else ``network``.

    Drops what served training only, such as the heads of deep supervision.
    """
    state = network.state_dict()
    wanted = slim.state_dict()
    if any(name not in state or state[name].shape != value.shape for name, value in wanted.items()):
        return network
    slim.load_state_dict({name: state[name] for name in wanted})
    slim.to(next(network.parameters()).device).eval()
    network.eval()
    generator = torch.Generator().manual_seed(0)
    tile = torch.randn((1, card.network_channels, *card.tile), generator=generator)
    with torch.inference_mode():
        tile = tile.to(next(network.parameters()).device)
        same = torch.allclose(network(tile), slim(tile), rtol=1e-4, atol=1e-4)
    return slim if same else network


def with_options(card: ModelCard, **options: Any) -> ModelCard:
    """The card with these plugin options in place of its own."""
    return replace(card, plugin_options={**card.plugin_options, **options})
