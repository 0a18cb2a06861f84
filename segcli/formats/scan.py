"""Inputs → cases and what is left out, from names and headers alone. No file is lost: each ends in one of the two.

The main process only looks at the first bytes of each file; headers are read by reader processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from segcli.case import Case, LeftOut, Scan
from segcli.errors import SkippedCase
from segcli.formats.case_id import case_id
from segcli.formats.channel_groups import Described, join_channel_files
from segcli.formats.readers import Readers
from segcli.formats.table import HEAD, TEXT, load_format, other_kind, recognise
from segcli.formats.walk import Found, Walked, walk
from segcli.image import Json
from segcli.regular_file import open_regular

DICOM = "dicom"
STILL_ARRIVING = "still arriving: a file of it is younger than --settle asks, or came during the scan"
_SERIES_WORDS = ("SeriesNumber", "SeriesDescription")


@dataclass(frozen=True)
class ScanOptions:
    """What decides which files become cases.

    ``key``: secret of the ids of cases that are no DICOM. ``modality``: the card's, None for any. ``channels``: how
    many the card wants. ``select``, ``any_modality``, ``follow_links``, ``settle`` (seconds), ``spacing_given``: see
    :class:`segcli.settings.PredictSettings`. With ``select``, which compares DICOM elements, files that have none are
    skipped. ``name_series``: fill ``Scan.series``. ``now``: seconds since 1970; None: when the scan begins.
    """

    key: bytes
    modality: str | None = None
    channels: int = 1
    select: tuple[tuple[str, str], ...] = ()
    any_modality: bool = False
    follow_links: bool = False
    settle: float = 0.0
    spacing_given: bool = False
    name_series: bool = False
    now: float | None = None


def other_modality(case: Case, wanted: str | None) -> str | None:
    """What is to be told of a case of another modality than ``wanted``; None if it is that, or none is known."""
    if wanted is None or case.modality in (None, wanted):
        return None
    return f"{'another' if case.modality == '?' else case.modality}, the model is for {wanted}"


def scan(inputs: Sequence[Path], options: ScanOptions, readers: Readers) -> Scan:
    """Everything below ``inputs``, sorted by name.

    Raises UsageError for an input that does not exist, two of one name, an unknown keyword in ``select``, or if reader
    processes cannot be started.
    """
    scanner = _Scanner(inputs, options, readers)
    scanner.take(walk(inputs, options.follow_links))
    return Scan(
        cases=tuple(sorted(scanner.cases, key=lambda case: (case.name, case.id))),
        left_out=tuple(sorted(scanner.left_out, key=lambda entry: (entry.name, entry.id))),
        series=scanner.series,
    )


class _Scanner:
    def __init__(self, inputs: Sequence[Path], options: ScanOptions, readers: Readers) -> None:
        self._inputs, self._options, self._readers = inputs, options, readers
        self._now = time.time() if options.now is None else options.now
        self._keywords = _keywords(options.select)
        self.series: dict[Path, tuple[str, str]] = {}
        self._listed: dict[Path, tuple[int, float]] = {}
        self._unknown: dict[Path, Found] = {}
        self._unsure: set[Path] = set()  # folders with a young file that may yet turn out to belong to a series
        self._apart: set[Path] = set()  # the same, where the series may lie in another folder
        self._growing: set[str] = set()  # series to which a file came during the scan
        self.cases: list[Case] = []
        self.left_out: list[LeftOut] = []

    def take(self, walked: Walked) -> None:
        self._listed = {file.path: (file.size, file.modified) for file in walked.files}
        for passed in walked.passed:
            identifier = case_id(self._options.key, passed.identity)
            self.left_out.append(
                LeftOut(str(passed.relative), identifier, passed.status, passed.reason, (passed.path,))
            )
        recognised: list[tuple[str, Found]] = []
        for file in walked.files:
            name = self._recognised(file)
            if name is not None:
                recognised.append((name, file))
        recognised.sort(key=lambda entry: entry[0])  # stable: files stay in the order of the walk
        described: list[Described] = []
        for name, entries in groupby(recognised, key=lambda entry: entry[0]):
            files = [file for _, file in entries]
            if name == DICOM:
                self._take_dicom(files)
            elif self._options.select:
                for file in files:
                    self._leave(file, "skipped", f"not chosen: --select compares DICOM elements, this is {name}", name)
            else:
                described += self._described(name, files)
        self._take_files(described)

    def _recognised(self, file: Found) -> str | None:
        """The format of a file; None if it has been left out."""
        if file.size == 0:
            self._leave_unknown(file, "an empty file")
            return None
        try:
            with open_regular(file.path, follow_links=file.linked) as stream:
                head = stream.read(HEAD)
        except OSError as error:
            reason = "no permission to read it: check its rights"
            if not isinstance(error, PermissionError):
                reason = f"it cannot be read ({error.strerror}): check the disk and run again"
            self._leave(file, "failed", reason)
            return None
        name = recognise(head)
        if name is None:
            self._unknown[file.path] = file
            self._leave_unknown(file, other_kind(head))
        return name

    def _leave_unknown(self, file: Found, kind: str) -> None:
        young = self._is_young(file)
        if young and kind != TEXT:  # a log that grows beside a series must not hold it up for ever
            self._unsure.add(file.path.parent)
        self._leave(file, "skipped", STILL_ARRIVING if young else f"not an image ({kind})")

    def _described(self, name: str, files: Sequence[Found]) -> Iterable[Described]:
        settled = []
        for file in files:
            if self._is_young(file) and self._options.channels < 2:
                self._leave(file, "skipped", STILL_ARRIVING, name)
            else:
                settled.append(file)
        answers = self._readers.describe(name, [file.path for file in settled])
        for file, (_, answer) in zip(settled, answers, strict=True):
            if self._options.settle > 0 and _has_changed(file):
                self._leave(file, "skipped", STILL_ARRIVING, name)
            else:
                yield Described(name, file, answer)

    def _take_files(self, described: Sequence[Described]) -> None:
        """One case a file, or one for all channel files of an image; data files that headers name belong to them."""
        claimed: set[Path] = set()
        groups = join_channel_files(described, self._options.channels)
        for group in groups:
            claimed.update(path for path in group.companions if path in self._unknown)
        self.left_out = [entry for entry in self.left_out if claimed.isdisjoint(entry.files)]
        for group in groups:
            file = group.stand_in
            parts = [member.file for member in group.members]
            parts += [self._unknown[path] for path in group.companions if path in self._unknown]
            if any(self._is_young(part) for part in parts):
                self._leave(file, "skipped", STILL_ARRIVING, group.format, group.paths)
            elif group.error is not None:
                skipped = isinstance(group.error, SkippedCase)
                status: Literal["skipped", "failed"] = "skipped" if skipped else "failed"
                self._leave(file, status, str(group.error), group.format, group.paths)
            elif not all(self._is_beside(path, file.path) for path in group.companions):
                reason = "its data file is a link, or lies behind one (--follow-links follows it)"
                headers = tuple(member.file.path for member in group.members)  # the link itself is told by the walk
                self._leave(file, "failed", reason, group.format, headers)
            else:
                self._add([group.case(case_id(self._options.key, file.identity))])

    def _is_beside(self, companion: Path, header: Path) -> bool:
        if self._options.follow_links:
            return True
        return not companion.is_symlink() and companion.resolve().is_relative_to(header.resolve().parent)

    def _take_dicom(self, files: Sequence[Found]) -> None:
        by_path = {file.path: file for file in files}
        records: list[tuple[Path, Json]] = []
        keywords = (*self._keywords, *(_SERIES_WORDS if self._options.name_series else ()))
        answers = list(self._readers.describe(DICOM, list(by_path), keywords))
        self._look_again()
        for path, answer in answers:
            if isinstance(answer, dict):
                records.append((path, answer))
                if self._options.name_series:
                    number, description = (next(iter(answer["selected"][word]), "") for word in _SERIES_WORDS)
                    self.series[path] = (number, description)
                continue
            status: Literal["skipped", "failed"] = "skipped" if isinstance(answer, SkippedCase) else "failed"
            young = self._is_young(by_path[path])
            if young:
                self._unsure.add(path.parent)
                if status == "failed":
                    self._apart.add(path.parent)
            self._leave(
                by_path[path],
                "skipped" if young else status,
                STILL_ARRIVING if young else str(answer),
                DICOM,
            )
        if not records:
            return
        from segcli.formats.dicom.grouping import GroupRequest  # noqa: PLC0415 - imports pydicom

        options = self._options
        request = GroupRequest(lambda path: by_path[path].relative, options.select, options.spacing_given)
        cases, left_out = load_format(DICOM).group(records, request)
        arriving = self._growing | {record["series_uid"] for path, record in records if self._is_young(by_path[path])}
        unsure = self._unsure | self._unsure_of({path.parent for path, _ in records})
        arriving |= {record["series_uid"] for path, record in records if path.parent in unsure}
        series = {path: record["series_uid"] for path, record in records}
        cases = [replace(case, linked=any(by_path[path].linked for path in case.files)) for case in cases]
        self._add_dicom(cases, left_out, {path for path, uid in series.items() if uid in arriving})

    def _add_dicom(self, cases: Sequence[Case], left_out: Sequence[LeftOut], arriving: set[Path]) -> None:
        taken: list[Case] = []
        told: set[Path] = set()  # a file may be in several cases (time points), but is left out only once
        for case in cases:
            if arriving.isdisjoint(case.files):
                taken.append(case)
            else:
                self._leave_case(case, STILL_ARRIVING, told)
        for entry in left_out:
            waits = entry.status == "failed" and not arriving.isdisjoint(entry.files)
            self.left_out.append(replace(entry, status="skipped", reason=STILL_ARRIVING) if waits else entry)
        self._add(taken)

    def _add(self, cases: Sequence[Case]) -> None:
        """Keep the cases whose modality the model is for."""
        told: set[Path] = set()
        kept = [case for case in cases if self._wrong_modality(case) is None]
        told.update(path for case in kept for path in case.files)
        self.cases += kept
        for case in cases:
            reason = self._wrong_modality(case)
            if reason is not None:
                self._leave_case(case, reason, told)

    def _leave_case(self, case: Case, reason: str, told: set[Path]) -> None:
        files = tuple(path for path in case.files if path not in told)
        told.update(files)
        self.left_out.append(LeftOut(case.name, case.id, "skipped", reason, files, case.format))

    def _wrong_modality(self, case: Case) -> str | None:
        found = None if self._options.any_modality else other_modality(case, self._options.modality)
        return None if found is None else f"modality {found} (--any-modality takes it)"

    def _look_again(self) -> None:
        """List the inputs once more after headers were read: a series to which files came meanwhile is not complete."""
        if self._options.settle <= 0:
            return
        came: list[Path] = []
        for file in walk(self._inputs, self._options.follow_links).files:
            if self._listed.get(file.path) == (file.size, file.modified):
                continue
            kind = _kind(file.path)
            if kind != TEXT:
                self._unsure.add(file.path.parent)
            if kind == DICOM:
                came.append(file.path)
            elif kind is None and file.path not in self._listed:
                self._apart.add(file.path.parent)
        for path, answer in self._readers.describe(DICOM, came, self._keywords) if came else ():
            if isinstance(answer, dict):
                self._growing.add(answer["series_uid"])
            elif not isinstance(answer, SkippedCase):
                self._apart.add(path.parent)

    def _unsure_of(self, known: set[Path]) -> set[Path]:
        """Of the folders ``known`` to hold series all below an input that has a file of unknown series elsewhere."""
        apart = self._apart - known
        roots = [root for root in self._inputs if any(root in (folder, *folder.parents) for folder in apart)]
        return {folder for folder in known if any(root in (folder, *folder.parents) for root in roots)}

    def _is_young(self, file: Found) -> bool:
        return self._options.settle > 0 and self._now - file.modified < self._options.settle

    def _leave(
        self,
        file: Found,
        status: Literal["skipped", "failed"],
        reason: str,
        format_name: str | None = None,
        paths: tuple[Path, ...] | None = None,
    ) -> None:
        identifier = case_id(self._options.key, file.identity)
        self.left_out.append(
            LeftOut(str(file.relative), identifier, status, reason, paths or (file.path,), format_name)
        )


def _has_changed(file: Found) -> bool:
    try:
        status = file.path.stat()
    except OSError:
        return True
    return (status.st_size, max(status.st_mtime, status.st_ctime)) != (file.size, file.modified)


def _kind(path: Path) -> str | None:
    """The format of a file; TEXT for a log or list that grows beside images and holds nothing up; None: unknown."""
    try:
        with open_regular(path) as stream:
            head = stream.read(HEAD)
    except OSError:
        return None
    return recognise(head) or (TEXT if other_kind(head) == TEXT else None)


def _keywords(select: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    if not select:
        return ()
    keywords: tuple[str, ...] = load_format(DICOM).select_keywords(select)
    return keywords
