"""A model folder: ``config.json`` (the card) beside ``model.safetensors``. Load, verify by hash, save. Never pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.card_json import check_card, format_card, parse_card
from segcli.contract import ModelCard
from segcli.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

CARD_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
PICKLE_HEADS = (b"PK\x03\x04", b"\x80")
"""How files of ``torch.save`` (a zip) and bare pickles begin."""
CONVERT = (
    "pickled weights are never loaded: convert them where you trust them with safetensors.torch.save_file, and write "
    "the new SHA-256 into the card"
)


@dataclass(frozen=True)
class ModelFolder:
    """A card and the weights file whose SHA-256 it states (checked)."""

    path: Path
    card: ModelCard

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.path / WEIGHTS_NAME


def load_model_folder(path: Path) -> ModelFolder:
    """Read and check the card, and the weights' hash. Raises ModelError saying which part is missing or wrong."""
    if not path.is_dir():
        raise ModelError(f"{path} is not a model folder: it should hold {CARD_NAME} and {WEIGHTS_NAME}")
    for name in (CARD_NAME, WEIGHTS_NAME):
        if not (path / name).is_file():
            raise ModelError(f"{path}: {name} is missing{_pickle_hint(path)}")
    try:
        card = parse_card((path / CARD_NAME).read_text(encoding="utf-8"))
        with (path / WEIGHTS_NAME).open("rb") as stream:
            if _is_pickle(stream.read(9)):
                raise ModelError(f"{WEIGHTS_NAME} is a pickle under another name; {CONVERT}")
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({type(error).__name__})") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if digest != card.sha256:
        raise ModelError(
            f"{path}: {WEIGHTS_NAME} is not the file the card was written for (SHA-256 {digest[:12]}… instead of "
            f"{card.sha256[:12] or 'none'}…): restore the folder from its source"
        )
    return ModelFolder(path, card)


def load_weights(folder: ModelFolder) -> dict[str, Tensor]:
    """All tensors of the weights file, on the CPU, in the dtype they were stored in."""
    from safetensors import SafetensorError  # noqa: PLC0415 - brings torch; `models list` reads cards only
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return load_file(folder.weights)
    except SafetensorError as error:
        raise ModelError(f"{folder.weights}: not a safetensors file: restore the folder from its source") from error


def save_model_folder(folder: Path, card: ModelCard, state: Mapping[str, Tensor]) -> ModelCard:
    """Write weights, then the card with their SHA-256, each atomically; returns the card as written."""
    from safetensors.torch import save  # noqa: PLC0415

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    card = dataclasses.replace(card, sha256=hashlib.sha256(data).hexdigest())
    check_card(card)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / WEIGHTS_NAME, data)
    _replace(folder / CARD_NAME, format_card(card).encode("utf-8"))
    return card


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(target)


def _pickle_hint(path: Path) -> str:
    pickles = sorted(item.name for item in path.iterdir() if item.suffix in PICKLE_SUFFIXES)
    if not pickles:
        return ""
    return f"; {pickles[0]} looks like pickled weights; {CONVERT}"


def _is_pickle(head: bytes) -> bool:
    """Whether these first nine bytes are a pickle's. A safetensors header is JSON, so its ninth byte is a brace."""
    return head.startswith(PICKLE_HEADS) and head[8:9] != b"{"
