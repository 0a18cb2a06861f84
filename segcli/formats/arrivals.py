"""What is still arriving while a folder is scanned (``--settle``): young files, those that came or changed during the
scan, and the series to which they may belong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from segcli.errors import SegcliError, SkippedCase
from segcli.formats.interface import DescribedFile, Description
from segcli.formats.table import HEAD, TEXT, load_format, other_kind, recognise
from segcli.formats.walk import Found, walk
from segcli.regular_file import open_regular

STILL_ARRIVING = "still arriving: a file of it is younger than --settle asks, or came during the scan"


class Arrivals:
    """Knows the files of a scan and what was seen of them. ``settle``: seconds that a file must be old; 0: any is."""

    def __init__(
        self, inputs: Sequence[Path], files: Iterable[Found], settle: float, now: float, follow_links: bool
    ) -> None:
        self._inputs, self._settle, self._now, self._follow_links = inputs, settle, now, follow_links
        self._listed = {file.path: file for file in files} if settle > 0 else {}
        self._changed: set[Path] = set()
        self._unsure: set[Path] = set()  # folders with a young file that may yet turn out to belong to a series
        self._apart: set[Path] = set()  # the same, where the series may lie in another folder
        self._growing: set[str] = set()  # series to which a file came during the scan

    def is_young(self, file: Found) -> bool:
        """Whether it is younger than it must be."""
        return self._settle > 0 and self._now - file.modified < self._settle

    def saw_unknown(self, file: Found, kind: str) -> None:
        """A file that no format recognises. A log that grows beside a series must not hold it up for ever."""
        if kind != TEXT and self.is_young(file):
            self._unsure.add(file.path.parent)

    def saw_error(self, file: Found, error: SegcliError) -> None:
        """A file of a format that has series, of which nothing is known but that it cannot be described."""
        if self.is_young(file):
            self._unsure.add(file.path.parent)
            if not isinstance(error, SkippedCase):
                self._apart.add(file.path.parent)

    def look_again(self, describe: Callable[[str, Sequence[Found]], Iterable[DescribedFile]]) -> None:
        """List the inputs once more after headers were read: a series to which files came meanwhile is not complete.

        ``describe``: files of a format → what their headers say.
        """
        if self._settle <= 0:
            return
        came: dict[str, list[Found]] = {}
        found = {file.path: file for file in walk(self._inputs, self._follow_links).files}
        self._changed = {path for path, file in self._listed.items() if not _is_same(file, found.get(path))}
        for path, file in found.items():
            before = self._listed.get(path)
            if _is_same(file, before):
                continue
            kind = _kind(path)
            if kind == TEXT:
                continue
            self._unsure.add(path.parent)
            if kind is None:
                if before is None:
                    self._apart.add(path.parent)
            elif load_format(kind).in_series:
                came.setdefault(kind, []).append(file)
        for name, files in came.items():
            for entry in describe(name, files):
                if isinstance(entry.answer, Description):
                    self._growing.add(entry.answer.series or "")
                elif not isinstance(entry.answer, SkippedCase):
                    self._apart.add(entry.file.path.parent)

    def of(self, files: Sequence[DescribedFile]) -> set[Path]:
        """Those of ``files``, all of one format, that a case must not be made of yet; and all young or changed ones."""
        arriving = self._changed | {path for path, file in self._listed.items() if self.is_young(file)}
        series = {entry.file.path: entry.answer.series for entry in files if isinstance(entry.answer, Description)}
        in_series = {path: key for path, key in series.items() if key is not None}
        unsure = self._unsure | self._unsure_of({path.parent for path in in_series})
        waiting = self._growing | {key for path, key in in_series.items() if path in arriving or path.parent in unsure}
        return arriving | {path for path, key in in_series.items() if key in waiting}

    def _unsure_of(self, known: set[Path]) -> set[Path]:
        """Of the folders ``known`` to hold series all below an input that has a file of unknown series elsewhere."""
        apart = self._apart - known
        roots = [root for root in self._inputs if any(root in (folder, *folder.parents) for folder in apart)]
        return {folder for folder in known if any(root in (folder, *folder.parents) for root in roots)}


def _is_same(file: Found, other: Found | None) -> bool:
    return other is not None and (file.size, file.modified) == (other.size, other.modified)


def _kind(path: Path) -> str | None:
    """The format of a file; TEXT for a log or list that grows beside images and holds nothing up; None: unknown."""
    try:
        with open_regular(path) as stream:
            head = stream.read(HEAD)
    except OSError:
        return None
    return recognise(head) or (TEXT if other_kind(head) == TEXT else None)
