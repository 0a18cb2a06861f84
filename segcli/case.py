"""What a scan of the inputs finds: cases to segment, and files left out, each with its reason.

Nothing here holds a header value beyond modality, sizes, spacing, orientation letters, transfer-syntax and SOP-class
UIDs, so all of it may be shown and stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from segcli.image import Json


@dataclass(frozen=True)
class Case:
    """One image to segment: a DICOM series (or a part of it after a split), a PNG, a TIFF, a NIfTI file, ...

    ``id``: 12 hex digits. ``name``: what a person calls it, the path below the input (a folder for DICOM).
    ``output``: where the mask goes, relative to the output folder. ``files``: in reading order.
    ``shape``: slices, rows, columns as the headers state them. ``details``: the format's own notes to its reader,
    its writer and the run; JSON values only, never shown or stored. ``linked``: a file of it was reached through a
    link, so links are followed when it is read; else one that appears in the meantime is refused.
    """

    id: str
    format: str
    name: str
    output: PurePosixPath
    files: tuple[Path, ...]
    modality: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    transfer_syntax: str | None = None
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Json] = field(default_factory=dict)
    linked: bool = False

    def to_json(self) -> Json:
        """Everything a reader process needs."""
        return {
            "id": self.id,
            "format": self.format,
            "name": self.name,
            "output": str(self.output),
            "files": [str(path) for path in self.files],
            "modality": self.modality,
            "details": dict(self.details),
            "linked": self.linked,
        }

    @staticmethod
    def from_json(value: Json) -> Case:
        """Inverse of :meth:`to_json`, for the reader process; what only people read is left out."""
        return Case(
            id=value["id"],
            format=value["format"],
            name=value["name"],
            output=PurePosixPath(value["output"]),
            files=tuple(Path(path) for path in value["files"]),
            modality=value["modality"],
            details=value["details"],
            linked=value["linked"],
        )


@dataclass(frozen=True)
class LeftOut:
    """A file or series that does not become a job: ``skipped`` (not an image for us) or ``failed`` (unreadable)."""

    name: str
    id: str
    status: Literal["skipped", "failed"]
    reason: str
    files: tuple[Path, ...] = ()
    format: str | None = None


@dataclass(frozen=True)
class Scan:
    """Everything found under the inputs: each file is in exactly one case or one left-out entry.

    ``series``: of DICOM files series number and description, only where ``ScanOptions.name_series`` asked for them:
    header values, for a person at a terminal and nowhere else.
    """

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]
    series: Mapping[Path, tuple[str, str]] = field(default_factory=dict, repr=False)
