"""What the file system says of files, as one short text: equal while nobody has touched them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def fingerprint(paths: Sequence[Path]) -> str | None:
    """Size, modification time (ns) and inode of all files, hashed; None if one cannot be reached."""
    total = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            return None
        total.update(f"{status.st_size} {status.st_mtime_ns} {status.st_ino}\n".encode())
    return total.hexdigest()[:32]


def file_sha256(path: Path) -> str | None:
    """SHA-256 (hex) of a file; None if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
