"""What a scan of the inputs finds: cases to segment, and files left out, each with its reason.

Nothing here holds a header value beyond modality, sizes, spacing, orientation letters, transfer-syntax and SOP-class
UIDs, so all of it may be shown and stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from segcli.image import Json


class Details(ABC):
    """What a format notes for itself of a file or a case: a frozen record of its own, never shown or stored."""

    __slots__ = ()

    @abstractmethod
    def to_json(self) -> Json:
        """For the other process; the format restores it (:class:`segcli.formats.interface.Format`)."""


def exact_fields(value: Json, names: Collection[str]) -> dict[str, Json]:
    """The fields of a record from the other process. Raises ValueError where one is missing or unknown."""
    if not isinstance(value, dict) or len(value) != len(names) or not all(name in value for name in names):
        raise ValueError("a record with other fields than it should have")
    return dict(value)


def exact_values(value: Json, count: int) -> list[Json]:
    """The same for a record that crosses without the names of its fields, as those do of which there are 100,000."""
    if not isinstance(value, list) or len(value) != count:
        raise ValueError("a record with other fields than it should have")
    return value


@dataclass(frozen=True)
class Case:
    """One image to segment: a DICOM series (or a part of it after a split), a PNG, a TIFF, a NIfTI file, ...

    ``id``: 12 hex digits. ``name``: what a person calls it, the path below the input (a folder for DICOM).
    ``output``: where the mask goes, relative to the output folder. ``files``: in reading order.
    ``shape``: slices, rows, columns as the headers state them. ``body_parts``: what DICOM headers state, never shown or
    stored. ``banded``: if it is large, it is read in bands. ``channel_files``: how many files, from the first
    on, are one channel each. ``details``: the format's own notes to its reader and its writer. ``linked``: a file of it
    was reached through a link, so links are followed when it is read; else one that appears in the meantime is refused.
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
    body_parts: tuple[str, ...] = field(default=(), repr=False)
    banded: bool = False
    channel_files: int = 1
    details: Details | None = field(default=None, repr=False)
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
            "channel_files": self.channel_files,
            "details": None if self.details is None else self.details.to_json(),
            "linked": self.linked,
        }

    @staticmethod
    def from_json(value: Json, details: Callable[[Json], Details]) -> Case:
        """Inverse of :meth:`to_json`, for the reader process; what only people read is left out."""
        stated = exact_fields(value, _FOR_THE_READER)
        stated["output"] = PurePosixPath(stated["output"])
        stated["files"] = tuple(Path(path) for path in stated["files"])
        stated["details"] = None if stated["details"] is None else details(stated["details"])
        return Case(**stated)


_FOR_THE_READER = ("id", "format", "name", "output", "files", "modality", "channel_files", "details", "linked")


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
