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
from segcli.other_models import other_kind
from segcli.regular_file import open_regular, read_regular
from segcli.strict_json import MOST_BYTES

if TYPE_CHECKING:
    from torch import Tensor

CARD_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
PICKLE_HEADS = (b"PK\x03\x04", b"\x80")
"""How files of ``torch.save`` (a zip) and bare pickles begin."""
MOST_HEADER = 16 * 2**20
"""Bytes of a safetensors header: some hundred thousand tensors."""
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
    card = load_card(path)
    try:
        with open_regular(path / WEIGHTS_NAME) as stream:
            _check_head(stream.read(9), os.fstat(stream.fileno()).st_size)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: {WEIGHTS_NAME} cannot be read ({error.strerror})") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if digest != card.sha256:
        raise ModelError(
            f"{path}: {WEIGHTS_NAME} is not the file the card was written for (SHA-256 {digest[:12]}… instead of "
            f"{card.sha256[:12] or 'none'}…): restore the folder from its source"
        )
    return ModelFolder(path, card)


def load_card(path: Path) -> ModelCard:
    """The card alone, checked; its weights are not looked at. Raises ModelError as :func:`load_model_folder`."""
    if not path.is_dir():
        raise ModelError(f"{path} is not a model folder: it should hold {CARD_NAME} and {WEIGHTS_NAME}")
    try:
        return _read_card(path)
    except ModelError as error:
        other = other_kind(path)
        if other is None:
            raise
        raise ModelError(f"{path} is not a segcli model folder: {other}") from error


def _read_card(path: Path) -> ModelCard:
    for name in (CARD_NAME, WEIGHTS_NAME):
        if not os.path.lexists(path / name):
            raise ModelError(f"{path} is not a segcli model folder: {name} is missing{_pickle_hint(path)}")
    try:
        return parse_card(read_regular(path / CARD_NAME, MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {CARD_NAME} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: {CARD_NAME} is not a text in UTF-8") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


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


def _check_head(head: bytes, size: int) -> None:
    """Raise ModelError if a file of ``size`` bytes that begins so holds no safetensors."""
    if _is_pickle(head):
        raise ModelError(f"{WEIGHTS_NAME} is a pickle under another name; {CONVERT}")
    length = int.from_bytes(head[:8], "little")  # of the header that follows
    if size < 10 or length > min(size - 8, MOST_HEADER):
        raise ModelError(f"{WEIGHTS_NAME} is not a safetensors file, or cut off: restore the folder from its source")


def _is_pickle(head: bytes) -> bool:
    """Whether these first nine bytes are a pickle's. A safetensors header is JSON, so its ninth byte is a brace."""
    return head.startswith(PICKLE_HEADS) and head[8:9] != b"{"
