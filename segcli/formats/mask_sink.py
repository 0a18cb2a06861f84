"""Masks larger than memory: written band by band into a temporary file that gets its name once it reads back right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import WriteError
from segcli.formats.atomic import NOT_READ_BACK, Draft, Target, Written, as_write_error, make_folders
from segcli.formats.interface import Format, MaskRequest
from segcli.formats.labels import label_type
from segcli.formats.table import FORMATS, load_format
from segcli.image import BandSource

_ROWS_AT_ONCE = 256


def open_sink(
    target: Target,
    case: Case,
    parts: Sequence[BandSource],
    request: MaskRequest,
    formats: Mapping[str, str] = FORMATS,
) -> MaskSink:
    """Begin the mask of a case whose images are ``parts``.

    Raises WriteError (see :func:`segcli.formats.atomic.is_disk_full`); UnsupportedError if masks of this format can
    only be written whole.
    """
    source = load_format(case.format, formats)
    with as_write_error(target.path.parent):
        make_folders(target, request.settings.private)
        draft = Draft(target, request.settings.private, f"{target.token}-{case.id}")
        try:
            return MaskSink(draft, source, parts, request)
        except BaseException:
            draft.discard()
            raise


class MaskSink:
    """The mask of a case on its way. :meth:`finish` or :meth:`abort` must end it; leaving a ``with`` block aborts it.

    The parts are written one after another, in each the slices from the first to the last, in each the rows from the
    first to the last, as many at a time as one likes.
    """

    def __init__(self, draft: Draft, source: Format, parts: Sequence[BandSource], request: MaskRequest) -> None:
        self._draft, self._source = draft, source
        self._dtype = np.dtype(label_type(max(label.value for label in request.card.labels)))
        shapes = [part.shape for part in parts]
        self._shapes = [(slices, rows, columns) for slices, _, rows, columns in shapes]
        self._hash = hashlib.sha256()
        self._at = (0, 0, 0)
        self._over = False
        self._stream = source.open_stream(draft.path, parts, self._dtype)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.abort()

    def write(self, part: int, slice_index: int, row_start: int, labels: NDArray[Any]) -> None:
        """``[row, column]`` label numbers, the rows of a slice of a part from ``row_start`` on. Raises WriteError.

        Raises ValueError for rows out of their turn or of another width, and TypeError for uint16 labels where the
        card has none above 255.
        """
        if part >= len(self._shapes) or (part, slice_index, row_start) != self._at:
            raise ValueError(f"rows at {(part, slice_index, row_start)}, expected at {self._at}")
        slices, rows, columns = self._shapes[part]
        stop = row_start + len(labels)
        if labels.ndim != 2 or labels.shape[1] != columns or stop > rows:
            raise ValueError(f"labels of shape {labels.shape} in a mask of {rows} x {columns}")
        labels = labels.astype(self._dtype, casting="safe" if labels.dtype.kind == "u" else "unsafe", copy=False)
        with as_write_error(self._draft.path.parent):
            self._stream.write(labels)
        self._hash.update(np.ascontiguousarray(labels).data)
        self._at = (part, slice_index, stop)
        if stop == rows:
            self._at = (part, slice_index + 1, 0) if slice_index + 1 < slices else (part + 1, 0, 0)

    def finish(self) -> Written:
        """Flush the mask, read it back band by band, compare, and give it its name.

        Raises WriteError or OutputExistsError; nothing is left of the mask then.
        """
        try:
            if self._at != (len(self._shapes), 0, 0):
                raise ValueError(f"the mask ends at {self._at}")
            with as_write_error(self._draft.path.parent):
                self._stream.finish()
                return self._draft.commit(self._verify)
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up; no file is left. Does nothing after :meth:`finish`, and may be called again."""
        if not self._over:
            self._over = True
            self._stream.abort()
            self._draft.discard()

    def _verify(self, path: Path) -> None:
        found = hashlib.sha256()
        shapes = []
        with self._source.open_labels(path) as parts:
            for part in parts:
                slices, _, rows, columns = part.shape
                shapes.append((slices, rows, columns))
                for slice_index in range(slices):
                    for row in range(0, rows, _ROWS_AT_ONCE):
                        labels = part.read(slice_index, row, min(row + _ROWS_AT_ONCE, rows))[0]
                        found.update(np.ascontiguousarray(labels, self._dtype).data)
        if shapes != self._shapes or found.digest() != self._hash.digest():
            raise WriteError(NOT_READ_BACK)
