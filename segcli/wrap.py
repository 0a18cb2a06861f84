"""``segcli models wrap``: an exported TorchScript or ONNX file and a card become a model folder.

What the file can be asked (which sides and batches it takes, how many classes it returns) is measured. What it cannot
know (labels, intensity, activation, spacing …) must stand in the card; nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segcli.card_json import SCHEMA, parse_card
from segcli.catalog import Catalog
from segcli.contract import ModelCard, ModelPlugin
from segcli.errors import ModelError, UsageError
from segcli.strict_json import read_object

MOST_MULTIPLE = 128

ASKED: Mapping[str, str] = {
    "name": "what the model is called",
    "version": "its version",
    "license": "the licence of its weights (SPDX)",
    "spatial_dims": "2 or 3",
    "channels": 'names of the image channels, e.g. ["T1"]',
    "context_slices": "neighbouring slices on each side that enter as channels, usually 0",
    "labels": 'one object a class: {"value": 1, "name": "liver", "color": [255, 170, 0]}',
    "activation": "softmax or sigmoid if the file returns logits, none if it returns probabilities",
    "threshold": "probability above which a pixel counts (sigmoid; softmax ignores it)",
    "intensity": 'how it was fed in training: {"kind": "zscore", "scope": "case"}, or window, percentile, none',
    "modality": "MR, CT … or null for any",
    "spacing": "mm of the pixels it was trained on, in the order of the tile's axes, or null: as stored",
    "orientation": "e.g. LPS, or null: as stored",
    "tile": "pixels it is run on, e.g. [256, 256]",
    "overlap": "pixels neighbouring tiles share",
    "margin": "pixels it loses on each side, usually 0",
}
"""Fields of the card that the file cannot know."""
OURS = ("plugin", "plugin_options", "sha256")


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
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({type(error).__name__})") from error
    kind = _kind(file, data)
    stated = _stated(card_file)
    if stated.get("gate") is not None:
        raise ModelError("the card states a gate, but an exported file has no presence head")
    plugin = catalog.find(kind).plugin
    card = parse_card(json.dumps({"schema": SCHEMA, **stated, "plugin": kind, "plugin_options": {"bytes": len(data)}}))
    state = {"program": torch.frombuffer(bytearray(data), dtype=torch.uint8)}
    network = _open(plugin, card, state, file)
    tile = _tile(card)
    logits = _run(network, tile)
    if isinstance(logits, str):
        raise ModelError(f"{file} does not run on one tile {tuple(tile.shape)}: {logits}")
    warnings = _compare(logits, card, file)
    options = {"bytes": len(data), **_batches(network, tile, logits), **_sizes(network, card)}
    card = dataclasses.replace(card, plugin_options=options)
    again = _run(_open(plugin, card, state, file), tile)
    if isinstance(again, str) or not torch.equal(again, logits):
        raise ModelError(f"{file} gives another result when it is run again")
    return Wrapped(card, state, tuple(warnings))


def _kind(file: Path, data: bytes) -> str:
    if data[:4] == b"PK\x03\x04":
        try:
            names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        except zipfile.BadZipFile as error:
            raise ModelError(f"{file} is damaged: not a whole zip archive") from error
        if any("/code/" in name for name in names):
            return "torchscript"
        if any(name.endswith("models/model.json") for name in names):
            raise ModelError(f"{file} was written by torch.export, which is not read: export it to ONNX")
        raise ModelError(f"{file} holds pickled weights without a program, which are never loaded: export the network")
    if file.suffix.lower() == ".onnx":
        return "onnx"
    raise ModelError(f"{file} is neither TorchScript (torch.jit.save) nor ONNX (its name must end in .onnx)")


def _stated(card_file: Path | None) -> dict[str, Any]:
    stated = {} if card_file is None else read_object(card_file)
    for name in OURS:
        if name in stated:
            raise UsageError(f"{card_file}: leave out {name!r}, it is written for you")
    needed = [name for name in ASKED if name not in stated]
    if stated.get("activation") in ("softmax", "none") and "threshold" in needed:
        needed.remove("threshold")
    if needed:
        lines = "".join(f"\n  {name}: {ASKED[name]}" for name in needed)
        raise UsageError(f"the file cannot say, so the card (--card FILE.json) must:{lines}")
    return stated


def _open(plugin: ModelPlugin, card: ModelCard, state: Mapping[str, Tensor], file: Path) -> nn.Module:
    try:
        network = plugin.build(card)
        network.load_state_dict(dict(state), strict=True)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{file} cannot be opened: {_first(error)}") from error
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
        return _first(error)
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


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
