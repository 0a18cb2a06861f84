"""What is stored is what was measured, and nothing that only training needed is kept."""

from __future__ import annotations

import torch

from segcli.contract import Label, ModelCard
from segcli.training.finish import slimmed, stored_state
from segcli_models import unet, unet3p, unetpp

CARD = ModelCard(
    plugin="unet", name="x", version="1", license="CC0-1.0", spatial_dims=2, channels=("x",),
    labels=(Label(1, "a", (1, 2, 3)),), tile=(16, 16), overlap=(4, 4), margin=(0, 0), plugin_options={"base": 2},
)  # fmt: skip
DEEP = {"base": 2, "presence": True, "deep_supervision": True}


def test_parameters_are_halved_and_running_statistics_are_not() -> None:
    network = unet.build(CARD)
    with torch.no_grad():
        network.get_buffer("encoder.levels.0.0.1.running_var").fill_(1e6)
    state = stored_state(network, "float16")
    assert state["head.weight"].dtype == torch.float16
    assert state["encoder.levels.0.0.1.running_var"].dtype == torch.float32
    assert torch.equal(network.state_dict()["head.weight"], state["head.weight"].float())
    assert stored_state(network, "float32")["head.weight"].dtype == torch.float32


def test_a_parameter_too_large_for_float16_keeps_float32() -> None:
    network = unet.build(CARD)
    with torch.no_grad():
        network.get_parameter("head.bias").fill_(1e5)
    assert stored_state(network, "float16")["head.bias"].tolist() == [1e5, 1e5]


def test_heads_of_deep_supervision_are_dropped_where_they_say_nothing_more() -> None:
    from dataclasses import replace  # noqa: PLC0415

    for plugin in (unet3p, unetpp):
        deep = plugin.build(replace(CARD, plugin=plugin.name, plugin_options=DEEP)).eval()
        slim_card = replace(CARD, plugin=plugin.name, plugin_options={**DEEP, "deep_supervision": False})
        slim = slimmed(deep, plugin.build(slim_card), slim_card)
        assert slim is not deep
        assert len(slim.state_dict()) < len(deep.state_dict())
        tile = torch.randn(1, 1, 16, 16)
        assert torch.equal(slim(tile), deep(tile))


def test_a_network_that_would_say_something_else_stays_as_it_is() -> None:
    from dataclasses import replace  # noqa: PLC0415

    averaging = {**DEEP, "inference": "accurate"}
    deep = unetpp.build(replace(CARD, plugin="unetpp", plugin_options=averaging)).eval()
    slim_card = replace(CARD, plugin="unetpp", plugin_options={"base": 2, "presence": True})
    assert slimmed(deep, unetpp.build(slim_card), slim_card) is deep
