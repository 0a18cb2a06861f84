"""What every format offers, so that scan, reader processes and writer treat all of them alike.

A format derives from :class:`Format`, or, if each of its files is an image, from
:class:`segcli.formats.file_format.FileFormat`, and stands in the table (:mod:`segcli.formats.table`).
``docs/adding-a-format.md`` goes through it step by step.
"""

from __future__ import annotations

import errno
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case, Details, LeftOut
from segcli.contract import ModelCard
from segcli.errors import SegcliError, SkippedCase, UnreadableError, UnsupportedError
from segcli.formats.limits import MASK_PIXELS
from segcli.formats.walk import Found
from segcli.image import BandSource, Image, Json, LabelMap
from segcli.regular_file import NotRegularError, open_regular
from segcli.settings import PredictSettings


@dataclass(frozen=True)
class ReadRequest:
    """What the reader must know of card and settings.

    ``channels``: the card's channel names in order, or None to hand over every channel as stored. ``channel``: the
    one channel of the file the user named. ``max_pixels``: refuse to hold more pixels (rows x columns x slices) than
    this. ``hold_pixels``: an image of more pixels than this is left open and read in bands if its layout allows; None:
    never. ``gaps``, ``strict`` and ``spacing``: see :class:`PredictSettings`.
    """

    channels: tuple[str, ...] | None = None
    channel: str | None = None
    max_pixels: int = 500_000_000
    hold_pixels: int | None = None
    gaps: str = "warn"
    strict: bool = False
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None

    @staticmethod
    def of(card: ModelCard, settings: PredictSettings, hold_pixels: int | None = None) -> ReadRequest:
        """What this model and these settings ask for."""
        return ReadRequest(
            channels=card.channels,
            channel=settings.channel,
            max_pixels=settings.max_pixels,
            hold_pixels=hold_pixels,
            gaps=settings.gaps,
            strict=settings.strict,
            spatial_dims=card.spatial_dims,
            spacing=settings.spacing,
        )


@dataclass(frozen=True)
class MaskRequest:
    """What the writer must know: the model's card, the run's settings and the versions that stand in the mask.

    ``notes``: what whoever looks at this one mask must be told; formats with room for words (DICOM SEG) hold them.
    ``earlier``: where a mask of this case may lie that this one replaces.
    """

    card: ModelCard
    settings: PredictSettings
    segcli_version: str
    notes: tuple[str, ...] = ()
    earlier: Path | None = None


class InputFiles:
    """The only door through which ``read`` gets file contents, so that every input byte is hashed as it is read."""

    def __init__(self, files: Sequence[Path], *, follow_links: bool = True) -> None:
        self._files = tuple(files)
        self._known = frozenset(files)
        self._follow_links = follow_links
        self._digests: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes:
        """The whole file, which must be one of the case. Raises UnreadableError, or OSError of the system."""
        if path not in self._known:  # the digest would not tell that it was read
            raise UnreadableError("its header names another file than when the folder was scanned: run again")
        with self._open(path) as stream:
            data = stream.read()
        self._digests[path] = hashlib.sha256(data).digest()
        return data

    def digest(self) -> str:
        """SHA-256 over the SHA-256 of each file of the case, in order; files not read yet are hashed from disk."""
        total = hashlib.sha256()
        for path in self._files:
            if path not in self._digests:
                with self._open(path) as stream:
                    self._digests[path] = hashlib.file_digest(stream, "sha256").digest()
            total.update(self._digests[path])
        return total.hexdigest()

    def _open(self, path: Path) -> BufferedReader:
        try:
            return open_regular(path, follow_links=self._follow_links)
        except OSError as error:
            if isinstance(error, NotRegularError) or error.errno == errno.ELOOP:
                raise UnreadableError("a file is no longer one since the folder was scanned: run again") from None
            raise


@dataclass(frozen=True)
class Description:
    """What the headers of one file say; see the fields of :class:`segcli.case.Case`.

    ``series``: key of the series that the file is a part of, for formats that have series. ``series_words``: number and
    description of that series, where a person at a terminal is to see them. ``banded``
    and ``details``: as of a case. ``companions``: paths of further files of the image, relative to its folder.
    """

    modality: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    warnings: tuple[str, ...] = ()
    series: str | None = None
    series_words: tuple[str, str] | None = None
    banded: bool = False
    companions: tuple[str, ...] = ()
    details: Details | None = None


@dataclass(frozen=True)
class DescribedFile:
    """A file of a format, and what its header said or why it said nothing."""

    file: Found
    answer: Description | SegcliError


@dataclass(frozen=True)
class ElementRequest:
    """Header elements by which files are chosen or shown: the pairs of ``--select``, and a series' number and name."""

    select: tuple[tuple[str, str], ...] = ()
    series_words: bool = False


@dataclass(frozen=True)
class GroupRequest:
    """What decides which files are one case.

    ``key``: secret of the ids of cases. ``channels``: how many the card wants. ``select``: pairs of ``--select``.
    ``spacing_given``: ``--spacing`` stands in where none is stated, so that is nothing to warn of.
    """

    key: bytes
    channels: int = 1
    select: tuple[tuple[str, str], ...] = ()
    spacing_given: bool = False
    follow_links: bool = False


@dataclass(frozen=True)
class Grouped:
    """Every file that was described is in at least one case or in one left-out entry."""

    cases: Sequence[Case]
    left_out: Sequence[LeftOut]


HOLD_PIXELS = 2**26
"""A good ``hold_pixels``: up to here (8192 x 8192) an image in memory is no burden, and faster."""


class OpenBands(BandSource, Protocol):
    """A part that lies in its file still; bands are decoded as they are read, in the process that opened it."""

    def close(self) -> None:
        """Close the file. May be called again."""
        ...


@dataclass(frozen=True)
class ReadResult:
    """Parts of a case and what must be told about reading them.

    ``bands``: the parts of an image larger than ``hold_pixels``; there are no ``parts`` then.
    """

    parts: tuple[Image, ...]
    warnings: tuple[str, ...] = ()
    bands: tuple[OpenBands, ...] = ()


class MaskStream(Protocol):
    """A mask file that is written as its rows come, part by part, slice by slice, from the first row to the last."""

    def write(self, labels: NDArray[Any]) -> None:
        """The next rows ``[row, column]``, all of one slice. Raises OSError, or whatever its library raises."""
        ...

    def finish(self) -> None:
        """Wait until all rows lie in the file. Raises as :meth:`write`."""
        ...

    def abort(self) -> None:
        """Stop writing; the file is about to be removed. May be called again, and after :meth:`finish`."""
        ...


class Format(ABC):
    """A file format: how it is recognised, described, grouped into cases, read, written and verified.

    The object itself is light, for the main process looks at every file with it: libraries that decode are imported by
    the methods that need them. ``describe``, ``read`` and ``read_labels`` run in a reader process, since they may meet
    hostile bytes; the others in the main process. All errors are of :mod:`segcli.errors`: SkippedCase,
    UnreadableError, UnsupportedError, WriteError.
    """

    name: ClassVar[str]
    """Key in the table and word in tables and reports, e.g. ``png``."""

    in_series: ClassVar[bool] = False
    """Whether several files make up a case, which then waits while one of its series is still arriving."""

    inside_gzip: ClassVar[bool] = True
    """Whether it is asked about what a gzip file holds; formats that are never packed refuse such a file by name."""

    @abstractmethod
    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` (4096 bytes) is of this format. Imports nothing."""

    def keywords(self, request: ElementRequest) -> tuple[str, ...]:
        """The header elements that :meth:`describe` must look up for this request.

        Raises UsageError for an unknown element, SkippedCase if no file of the format can be chosen by elements.
        """
        if request.select:
            raise SkippedCase(f"not chosen: --select compares DICOM elements, this is {self.name}")
        return ()

    @abstractmethod
    def describe(self, path: Path, keywords: Sequence[str] = ()) -> Description:
        """From headers alone. ``keywords``: of :meth:`keywords`."""

    def details_of_file(self, value: Json) -> Details:
        """Inverse of ``to_json`` of what :meth:`describe` gave as details."""
        raise ValueError(f"descriptions of the format {self.name} have no details")

    def details_of_case(self, value: Json) -> Details:
        """Inverse of ``to_json`` of the details of a case."""
        raise ValueError(f"cases of the format {self.name} have no details")

    @abstractmethod
    def group(self, files: Sequence[DescribedFile], request: GroupRequest) -> Grouped:
        """All files of the format → cases, and every file left out with its reason."""

    @abstractmethod
    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """Intensities of all parts, channels reconciled with the request (:mod:`segcli.formats.pixels`)."""

    @abstractmethod
    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """Write the masks of all parts to ``target`` (a temporary name); the caller flushes, verifies and renames."""

    @abstractmethod
    def read_labels(self, path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
        """Label numbers of a mask file, one label map per part, as ``write`` was given them.

        Raises UnsupportedError for one that takes more memory than ``max_pixels`` pixels of four bytes.
        """

    def verify(self, path: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> bool:
        """Whether the mask file ``path``, which :meth:`write` has just made, holds exactly ``masks``."""
        held = sum(mask.pixels.size for mask in masks)  # what could be written can be held once more
        found = self.read_labels(path, max(MASK_PIXELS, held))
        return len(found) == len(masks) and all(
            np.array_equal(one.pixels, other.pixels) for one, other in zip(found, masks, strict=True)
        )

    def open_stream(self, target: Path, parts: Sequence[BandSource], dtype: np.dtype[Any]) -> MaskStream:
        """Begin the masks of the images ``parts`` (``ReadResult.bands``), of ``dtype`` uint8 or uint16, in ``target``.

        Raises UnsupportedError if masks of this format can only be written whole.
        """
        raise UnsupportedError(f"masks of the format {self.name} cannot be written in bands")

    def open_labels(self, path: Path) -> AbstractContextManager[tuple[OpenBands, ...]]:
        """The parts of a mask file as :meth:`open_stream` makes them, one channel each, to be read in bands."""
        raise UnsupportedError(f"masks of the format {self.name} cannot be read in bands")
