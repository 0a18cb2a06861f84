"""The output folder: where it may be, and the secret that the ids of its cases are made with."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from segcli.batch.shard import shard_of
from segcli.errors import UsageError

KEY_NAME = ".segcli-key"
_KEY_BYTES = 32


def default_output(source: Path) -> Path:
    """``<name>_masks`` beside the resolved input, ``<stem>_masks`` for a file."""
    real = source.resolve()
    name = real.name if real.is_dir() else real.name.partition(".")[0] or real.name
    return real.with_name(f"{name or 'root'}_masks")


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Raise UsageError if masks could come to lie inside an input, or the output is no folder."""
    real = output.resolve()
    for source in inputs:
        origin = source.resolve()
        inside = real == origin or (origin.is_dir() and real.is_relative_to(origin))
        # with several inputs each gets a folder of its name: that folder must not be the input itself
        mirrored = len(inputs) > 1 and origin.is_dir() and (real / source.name).resolve() == origin
        if inside or mirrored:
            raise UsageError(f"{output}: the masks would lie inside the input {source}; choose another -o")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: this is a file; -o names a folder")


def make_output(output: Path, private: bool = False) -> bytes:
    """Make the folder if need be; returns the secret kept in it. Raises UsageError if it cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
        return _secret(output)
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror}); choose another -o") from error


def manifests(output: Path) -> list[Path]:
    """All manifests in the folder, of any shard, sorted."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(output.iterdir()):
            with contextlib.suppress(ValueError):
                shard_of(path.name)
                found.append(path)
    return found


def _secret(output: Path) -> bytes:
    """Shards that start at the same time must agree, so the file appears under its name whole, and only once."""
    path = output / KEY_NAME
    if not path.exists():
        temporary = output / f"{KEY_NAME}-{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
            os.fsync(descriptor)
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.replace(temporary, path)  # noqa: PTH105 - the pair of os.link
        finally:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
    secret = path.read_bytes()
    if len(secret) != _KEY_BYTES:
        raise UsageError(f"{path}: damaged; choose another -o, or remove the folder's manifest and this file")
    return secret
