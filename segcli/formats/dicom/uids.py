"""UIDs that follow from content: the same input, model and settings give the same UID on every machine.

Written as ``2.25.`` and a version-5 style UUID, which needs no registered root (PS3.5 annex B.2).
"""

from __future__ import annotations

import hashlib
import uuid


def derived_uid(*parts: bytes | str) -> str:
    """A UID from the SHA-256 of ``parts``; each is preceded by its length, so that no two lists run together."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return f"2.25.{uuid.UUID(bytes=total.digest()[:16], version=5).int}"


def case_id(*parts: str) -> str:
    """12 hex digits of the SHA-256 of ``parts``."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode()
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()[:12]
