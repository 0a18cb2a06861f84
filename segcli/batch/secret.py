"""The secret of an output folder, of which the ids of its cases are made."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from segcli.batch.lock import not_ours
from segcli.errors import UsageError
from segcli.formats.atomic import TEMPORARY, flush_folder
from segcli.regular_file import NotRegularError, TooLargeError, read_regular

KEY_NAME = ".segcli-key"
LENGTH = 32
"""Bytes; the file holds them as hex digits."""


def case_key(folder: Path, token: str = "") -> bytes:
    """The secret that makes case ids of this output folder; drawn once, readable only by its owner.

    ``token``: tells this shard's temporary files from others'. Raises UsageError if it is damaged.
    """
    path = folder / KEY_NAME
    if not os.path.lexists(path):
        # Shards may start together and must agree: the file appears under its name whole, and the first one stays.
        temporary = folder / f"{TEMPORARY}{token}-key-{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(LENGTH))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass  # another shard was first
            except OSError:
                temporary.replace(path)  # a file system without hard links
        finally:
            temporary.unlink(missing_ok=True)
        flush_folder(folder)
    try:
        text = read_regular(path, limit=2 * LENGTH, follow_links=False).decode("ascii")
        if re.fullmatch(f"[0-9a-f]{{{2 * LENGTH}}}", text):
            return bytes.fromhex(text)
    except NotRegularError as error:
        raise not_ours(path, error) from error
    except (TooLargeError, ValueError):
        pass
    raise UsageError(f"{path}: damaged, so that no case can be called as before; put it back, or choose another -o")
