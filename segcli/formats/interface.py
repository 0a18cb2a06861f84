"""What every format module offers, so that scan, reader processes and writer treat all of them alike.

``describe`` and ``read`` run in a reader process (they may meet hostile bytes); ``write`` runs in the writer thread.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.contract import ModelCard
from segcli.errors import UnreadableError
from segcli.formats.decoding import MASK_PIXELS
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
    """What the headers of one non-DICOM file say; see the fields of :class:`segcli.case.Case`."""

    modality: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Json] | None = None


HOLD_PIXELS = 2**26
"""A good ``hold_pixels``: up to here (8192 x 8192) an image in memory is no burden, and faster."""


BANDS = "bands"
"""In the details of a description: true if an image of more than ``hold_pixels`` will be read in bands."""


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

    def read_labels(self, path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
        """Label numbers of a mask file, one label map a part, as ``write`` was given them.

        Raises UnsupportedError for one that takes more memory than ``max_pixels`` pixels of four bytes.
        """
        ...


class BandedFormat(Format, Protocol):
    """A format whose images may be left open (``ReadResult.bands``); its masks are written and verified in bands."""

    def open_stream(self, target: Path, parts: Sequence[BandSource], dtype: np.dtype[Any]) -> MaskStream:
        """Begin the masks of the images ``parts``, of ``dtype`` uint8 or uint16, in the file ``target``."""
        ...

    def open_labels(self, path: Path) -> AbstractContextManager[tuple[OpenBands, ...]]:
        """The parts of a mask file as :meth:`open_stream` makes them, one channel each, to be read in bands."""
        ...
