import dataclasses
import subprocess
import sys

import pytest

import segcli_models
from segcli.contract import ModelPlugin
from segcli.model_folder import load_model_folder, load_weights

PLUGINS = [segcli_models.unet, segcli_models.unetpp, segcli_models.unet3p]


def test_importing_the_plugins_imports_no_torch() -> None:
    code = "import sys, segcli_models; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_plugin_keeps_the_contract(plugin: segcli_models.Plugin) -> None:
    assert isinstance(plugin, ModelPlugin)
    assert plugin.example().plugin == plugin.name
    plugin.build(plugin.example())
    # a submodule of the same name would replace the object once it is imported
    assert getattr(segcli_models, plugin.name) is plugin


@pytest.mark.parametrize(
    ("plugin", "options", "named"),
    [
        (segcli_models.unet, {"levle": 2}, "unknown plugin option 'levle'"),
        (segcli_models.unet, {"deep_supervision": True}, "unknown plugin option 'deep_supervision'"),
        (segcli_models.unet3p, {"padding": "valid"}, "unknown plugin option 'padding'"),
        (segcli_models.unet3p, {"norm": "group"}, "'norm' must be one of batch, instance, none"),
        (segcli_models.unet3p, {"presence": 1}, "'presence' must be true or false"),
        (segcli_models.unet, {"base": 0}, "'base' must be a whole number"),
        (segcli_models.unet, {"dropout": 1.0}, "'dropout' must be"),
        (segcli_models.unetpp, {"deep_supervision": True, "level": 5}, "'level' must be one of"),
        (segcli_models.unetpp, {"level": 2}, "need 'deep_supervision'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    plugin: segcli_models.Plugin, options: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        plugin.build(dataclasses.replace(plugin.example(), plugin_options=options))


def test_a_margin_the_network_does_not_have_is_refused() -> None:
    card = segcli_models.unet.example()
    with pytest.raises(ValueError, match="loses 0 on each side"):
        segcli_models.unet.build(dataclasses.replace(card, margin=(92, 92)))
    valid = dataclasses.replace(card, plugin_options={"base": 2, "padding": "valid"})
    with pytest.raises(ValueError, match="loses 92 on each side"):
        segcli_models.unet.build(valid)
    segcli_models.unet.build(dataclasses.replace(valid, margin=(92, 92), tile=(220, 220)))


def test_the_shipped_weights_fit_their_card() -> None:
    path = segcli_models.unet3p.default()
    assert path is not None
    folder = load_model_folder(path)
    network = segcli_models.unet3p.build(folder.card)
    network.load_state_dict(load_weights(folder))
    assert folder.card.license == "CC-BY-SA-4.0"
    assert folder.card.gate is not None
    assert min(folder.card.gate.positives) >= 200
    split = folder.card.training["split"]
    groups = [set(split[name]) for name in ("train", "validation", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups))


@pytest.mark.parametrize("plugin", [segcli_models.unet, segcli_models.unetpp, segcli_models.unet3p])
def test_every_network_ships_a_model(plugin: segcli_models.Plugin) -> None:
    folder = plugin.default()
    assert folder is not None and (folder / "model.safetensors").is_file()


def test_a_plugin_without_weights_says_so() -> None:
    assert segcli_models.Plugin("other", "", frozenset()).default() is None
