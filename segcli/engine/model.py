"""From the word after ``--model`` to a network with its weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from segcli.catalog import Catalog, CatalogEntry, resolve_folder
from segcli.contract import ModelCard, fits
from segcli.errors import ModelError, one_line
from segcli.model_folder import ModelFolder, load_model_folder, load_weights


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, in eval mode, on the CPU, float32.

    ``notes``: what plugins did to the process on loading and building, each put back.
    """

    card: ModelCard
    network: nn.Module
    folder: ModelFolder
    plugin: CatalogEntry
    notes: tuple[str, ...] = ()


def load_model(name_or_folder: str, catalog: Catalog) -> LoadedModel:
    """Card, plugin, network and weights. Raises ModelError or PluginError saying which of them is wrong and how."""
    folder = load_model_folder(resolve_folder(name_or_folder, catalog))
    card = folder.card
    plugin = catalog.find(card.plugin)
    notes: list[str] = []
    try:
        network = plugin.build(card, notes)
    except ModelError as error:
        raise ModelError(f"{folder.path}: {error}") from error
    if not fits(card.tile, network.multiple, network.offset):
        raise ModelError(
            f"{folder.path}: the card's tile {list(card.tile)} does not fit the network "
            f"(each side {network.offset} more than a multiple of {network.multiple})"
        )
    # copied into float32 parameters whatever the stored type
    try:
        network.load_state_dict(load_weights(folder), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{folder.path}: the weights do not fit the network: {one_line(error, last=True)}") from error
    return LoadedModel(card, network.eval(), folder, plugin, (*catalog.notes, *notes))
