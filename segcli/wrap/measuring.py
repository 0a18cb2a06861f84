"""What an exported file can be asked: which sides and batches it takes, how many classes it returns."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from segcli.card_json import SCHEMA, parse_card
from segcli.catalog import Catalog, CatalogEntry
from segcli.contract import ModelCard, ModelPlugin
from segcli.errors import ModelError, UsageError, one_line
from segcli.regular_file import open_regular
from segcli.wrap.asking import Shape, stated
from segcli.wrap.programs import UNTRUSTED, is_program

MOST_MULTIPLE = 128


class ExportedPlugin(ModelPlugin, Protocol):
    """A plugin whose networks are exported files."""

    def gather(self, file: Path) -> bytes:
        """All of the file, with what lies beside it. Raises ValueError for what may not be followed."""
        ...

    def shapes(self, data: bytes) -> tuple[Shape, Shape] | None:
        """Of input and output, as far as the file states them."""
        ...


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """A card and the state to save beside it; ``warnings`` are for the user."""

    card: ModelCard
    state: Mapping[str, Tensor]
    warnings: tuple[str, ...]


def wrap(file: Path, card_file: Path | None, catalog: Catalog) -> Wrapped:
    """Check the exported ``file`` against the card in ``card_file`` (JSON) and measure what sizes it takes.

    Raises UsageError listing the fields that are missing, and ModelError where file and card disagree.
    """
    kind = _kind(file)
    fields = stated(card_file)
    if fields.get("gate") is not None:
        raise ModelError("the card states a gate, but an exported file has no presence head")
    plugin = catalog.find(kind)
    data = _gathered(plugin.plugin, file)
    card = parse_card(json.dumps({"schema": SCHEMA, **fields, "plugin": kind, "plugin_options": {"bytes": len(data)}}))
    state = {"program": torch.frombuffer(bytearray(data), dtype=torch.uint8)}
    network = _open(plugin, card, state, file)
    tile = _tile(card)
    logits = _run(network, tile)
    if isinstance(logits, str):
        raise ModelError(f"{file} does not run on one tile {tuple(tile.shape)}: {logits}")
    warnings = _compare(logits, card, file)
    options = {"bytes": len(data), **_batches(network, tile, logits), **_sizes(network, card)}
    card = dataclasses.replace(card, plugin_options=options)
    # a network that draws random numbers begins with the same ones whenever it is opened
    for opened in (network, _open(plugin, card, state, file)):
        again = _run(opened, tile)
        if isinstance(again, str) or not torch.equal(again, logits):
            raise ModelError(f"{file} gives another result when it is run again: does it draw random numbers?")
    return Wrapped(card, state, tuple(warnings))


def shapes(file: Path, catalog: Catalog) -> tuple[Shape, Shape] | None:
    """Of the file's input and output, as far as it states them; None for TorchScript, which states none."""
    plugin = catalog.find(_kind(file)).plugin
    data = _gathered(plugin, file)
    try:
        found: tuple[Shape, Shape] | None = cast(ExportedPlugin, plugin).shapes(data)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{file}: {one_line(error)}") from error
    return found


def _kind(file: Path) -> str:
    if is_program(file):
        raise UsageError(f"{file} {UNTRUSTED}")
    try:
        with open_regular(file) as stream:
            names = zipfile.ZipFile(stream).namelist() if stream.read(4) == b"PK\x03\x04" else None
    except zipfile.BadZipFile as error:
        raise ModelError(f"{file} is damaged: not a whole zip archive") from error
    if names is not None:
        if any("/code/" in name for name in names):
            return "torchscript"
        raise ModelError(f"{file} holds pickled weights without a program, which are never loaded: export the network")
    if file.suffix.lower() == ".onnx":
        return "onnx"
    raise ModelError(f"{file} is neither ONNX (its name must end in .onnx) nor TorchScript (torch.jit.save)")


def _gathered(plugin: ModelPlugin, file: Path) -> bytes:
    try:
        return cast(ExportedPlugin, plugin).gather(file)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{file} {one_line(error)}") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})") from error


def _open(plugin: CatalogEntry, card: ModelCard, state: Mapping[str, Tensor], file: Path) -> nn.Module:
    try:
        network: nn.Module = plugin.build(card)
        network.load_state_dict(dict(state), strict=True)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{file} cannot be opened: {one_line(error, last=True)}") from error
    return network.eval()


def _tile(card: ModelCard, grow: int = 0, count: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(count, card.network_channels, *(side + grow for side in card.tile), generator=draw)
    return values.sigmoid() if card.intensity.kind in ("window", "percentile") else values


@torch.inference_mode()
def _run(network: nn.Module, x: Tensor) -> Tensor | str:
    """The result, or why there is none."""
    try:
        result: Tensor = network(x)
    except Exception as error:  # noqa: BLE001 - the file is a stranger's program
        return one_line(error, last=True)
    return result


def _expected(card: ModelCard, grow: int = 0, count: int = 1) -> tuple[int, ...]:
    spatial = (side + grow - 2 * margin for side, margin in zip(card.tile, card.margin, strict=True))
    return (count, card.network_outputs, *spatial)


def _compare(logits: Tensor, card: ModelCard, file: Path) -> list[str]:
    if tuple(logits.shape) != _expected(card):
        raise ModelError(
            f"{file} returns {tuple(logits.shape)} for one tile, the card says {_expected(card)}: check labels, "
            "activation (softmax and none count the background), tile and margin"
        )
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(f"{file} returns values that are not finite")
    probable = bool((logits >= 0).all() and (logits <= 1).all())
    adds_up = probable and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())
    if card.activation == "softmax" and adds_up:
        raise ModelError(f"{file} returns probabilities already: the card's activation must be none, not softmax")
    if card.activation == "none" and not adds_up:
        raise ModelError(f"{file} returns no probabilities that sum to 1, as activation none says: softmax or sigmoid?")
    if card.activation == "sigmoid" and probable:
        return ["every output lies between 0 and 1: if the file applies a sigmoid itself, export it without"]
    return []


def _batches(network: nn.Module, tile: Tensor, logits: Tensor) -> dict[str, bool]:
    both = _run(network, torch.cat([tile, tile * 0.5]))
    alone = _run(network, tile * 0.5)
    if isinstance(both, str) or isinstance(alone, str) or both.shape != (2, *logits.shape[1:]):
        return {"single": True}
    expected = torch.cat([logits, alone])
    near = (both - expected).abs().max() <= 1e-4 * expected.abs().max().clamp_min(1)
    return {} if bool(near) else {"single": True}


def _sizes(network: nn.Module, card: ModelCard) -> dict[str, Any]:
    multiple = 1
    while multiple <= MOST_MULTIPLE:
        offsets = {side % multiple for side in card.tile}
        result = _run(network, _tile(card, grow=multiple))
        if len(offsets) == 1 and isinstance(result, Tensor) and tuple(result.shape) == _expected(card, multiple):
            return {"multiple": multiple, "offset": offsets.pop()}
        multiple *= 2
    return {"fixed": True}
