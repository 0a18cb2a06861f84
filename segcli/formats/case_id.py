"""Identities of cases that are no DICOM: keyed, so that an id in a log tells nothing about a file's name."""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from pathlib import PurePosixPath

DIGITS = 12


def case_id(key: bytes, name: str | PurePosixPath) -> str:
    """12 hex digits: HMAC-SHA256 under ``key`` (random, kept in the output folder).

    ``name``: input name and relative POSIX path; composed (NFC), so that macOS and Linux agree.
    """
    text = unicodedata.normalize("NFC", str(name))
    return hmac.new(key, os.fsencode(text), hashlib.sha256).hexdigest()[:DIGITS]
