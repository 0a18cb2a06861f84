"""What every format module offers, so that scan, reader processes and writer treat all of them alike.

``describe`` and ``read`` run in a reader process (they may meet hostile bytes); ``write`` runs in the writer thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segcli.case import Case
from segcli.contract import ModelCard
from segcli.image import Image, Json, LabelMap
from segcli.settings import PredictSettings


@dataclass(frozen=True)
class ReadRequest:
    """What the reader must know of card and settings.

    ``channels``: the card's channel names in order, or None to hand over every channel as stored. ``channel``: the
    one channel of the file the user named. ``max_pixels``: refuse to hold more pixels (rows x columns x slices) than
    this. ``gaps``, ``strict`` and ``spacing``: see :class:`PredictSettings`.
    """

    channels: tuple[str, ...] | None = None
    channel: str | None = None
    max_pixels: int = 500_000_000
    gaps: str = "warn"
    strict: bool = False
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None


@dataclass(frozen=True)
class MaskRequest:
    """What the writer must know: the model's card, the run's settings and the versions that stand in the mask."""

    card: ModelCard
    settings: PredictSettings
    segcli_version: str


class InputFiles:
    """The only door through which ``read`` gets file contents, so that every input byte is hashed as it is read."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._digests: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes:
        """The whole file."""
        data = path.read_bytes()
        self._digests[path] = hashlib.sha256(data).digest()
        return data

    def digest(self) -> str:
        """SHA-256 over the SHA-256 of each file of the case, in order; files not read yet are hashed from disk."""
        total = hashlib.sha256()
        for path in self._files:
            if path not in self._digests:
                with path.open("rb") as stream:
                    self._digests[path] = hashlib.file_digest(stream, "sha256").digest()
            total.update(self._digests[path])
        return total.hexdigest()


@dataclass(frozen=True)
class Description:
    """What the headers of one non-DICOM file say; see the fields of :class:`segcli.case.Case`."""

    modality: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Json] | None = None


@dataclass(frozen=True)
class ReadResult:
    """Parts of a case and what must be told about reading them."""

    parts: tuple[Image, ...]
    warnings: tuple[str, ...] = ()


class Format(Protocol):
    """A format module. All errors are of :mod:`segcli.errors`: SkippedCase, UnreadableError, UnsupportedError."""

    name: str
    """Key in the table and word in tables and reports: ``png``, ``jpeg``, ``tiff``, ``nifti``, ``nrrd``, ``mha``."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file whose first 4096 bytes are ``head`` is of this format (gzip: decompressed already)."""
        ...

    def mask_name(self, name: str) -> str:
        """File name of the mask of a file called ``name``: equal, or the mask's own suffix appended."""
        ...

    def describe(self, path: Path) -> Description:
        """From headers alone."""
        ...

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """Intensities of all parts, channels reconciled with the request (:mod:`segcli.formats.channels`)."""
        ...

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """Write the masks of all parts to ``target`` (a temporary name); the caller flushes, verifies and renames."""
        ...

    def read_labels(self, path: Path) -> tuple[LabelMap, ...]:
        """Label numbers of a mask file, one label map a part, as ``write`` was given them."""
        ...
