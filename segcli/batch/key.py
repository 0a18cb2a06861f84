"""What a mask depends on, as one hash: the model, the settings that change the file, the versions, the input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from segcli.card_json import format_card
from segcli.contract import ModelCard
from segcli.regular_file import open_regular
from segcli.settings import PredictSettings

MASK_SETTINGS = ("overlap", "gate", "gaps", "strict", "spacing", "channel", "dicom_seg", "dicom_deflate", "png_mask")
"""Settings that change what is written; device, batch, limits and selections do not."""
ANY_SETTINGS = ("any_scope", "any_modality")
"""Settings that let in images the model was not made for: their masks are not mixed with others."""


def fingerprint(card: ModelCard, settings: PredictSettings, precision: str, versions: Sequence[str]) -> str:
    """SHA-256 (hex) of everything but the input."""
    chosen = {name: getattr(settings, name) for name in MASK_SETTINGS} | {"precision": precision}
    # Where they are off, folders made before there were such settings go on.
    chosen |= {name: True for name in ANY_SETTINGS if getattr(settings, name)}
    text = json.dumps([format_card(card), chosen, list(versions)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def job_key(of_run: str, input_digest: str) -> str:
    """SHA-256 (hex) of a run's fingerprint and the input's digest."""
    return hashlib.sha256(f"{of_run} {input_digest}".encode()).hexdigest()


def stat_of(files: Sequence[Path]) -> tuple[tuple[int, int, int], ...]:
    """Size, mtime_ns and inode of each file: what is trusted to mean "unchanged" without reading."""
    stats = [path.stat() for path in files]
    return tuple((s.st_size, s.st_mtime_ns, s.st_ino) for s in stats)


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises OSError, of a pipe or a device too."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
