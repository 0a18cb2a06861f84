"""Inputs → cases and what is left out, from names and headers alone. No file is lost: each ends in one of the two.

The main process only looks at the first bytes of each file; headers are read by reader processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from segcli.case import Case, LeftOut, Scan
from segcli.errors import SegcliError, SkippedCase
from segcli.formats.arrivals import STILL_ARRIVING, Arrivals
from segcli.formats.interface import DescribedFile, Description, ElementRequest, GroupRequest
from segcli.formats.readers import Readers
from segcli.formats.table import FORMATS, HEAD, load_format, other_kind, recognise
from segcli.formats.walk import Found, Walked, walk
from segcli.regular_file import open_regular


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
    elements = ElementRequest(options.select, options.name_series)
    keywords = {name: _keywords(name, elements) for name in FORMATS}
    scanner = _Scanner(options, readers, keywords)
    now = time.time() if options.now is None else options.now
    walked = walk(inputs, options.follow_links)
    scanner.take(walked, Arrivals(inputs, walked.files, options.settle, now, options.follow_links))
    return Scan(
        cases=tuple(sorted(scanner.cases, key=lambda case: (case.name, case.id))),
        left_out=tuple(sorted(scanner.left_out, key=lambda entry: (entry.name, entry.id))),
        series=scanner.series,
    )


class _Scanner:
    def __init__(
        self, options: ScanOptions, readers: Readers, keywords: dict[str, tuple[str, ...] | SkippedCase]
    ) -> None:
        self._options, self._readers, self._keywords = options, readers, keywords
        self._request = GroupRequest(
            options.key, options.channels, options.select, options.spacing_given, options.follow_links
        )
        self._unknown: set[Path] = set()
        self.series: dict[Path, tuple[str, str]] = {}
        self.cases: list[Case] = []
        self.left_out: list[LeftOut] = []

    def take(self, walked: Walked, arrivals: Arrivals) -> None:
        for passed in walked.passed:
            name, identifier = str(passed.relative), passed.id(self._options.key)
            self.left_out.append(LeftOut(name, identifier, passed.status, passed.reason, (passed.path,)))
        recognised: list[tuple[str, Found]] = []
        for file in walked.files:
            source = self._recognised(file, arrivals)
            if source is not None:
                recognised.append((source, file))
        recognised.sort(key=lambda entry: entry[0])  # stable: files stay in the order of the walk
        described: dict[str, list[DescribedFile]] = {}
        for name, entries in groupby(recognised, key=lambda entry: entry[0]):
            described[name] = list(self._described(name, [file for _, file in entries]))
            if load_format(name).in_series:
                for entry in described[name]:
                    if isinstance(entry.answer, SegcliError):
                        arrivals.saw_error(entry.file, entry.answer)
        if described:
            arrivals.look_again(self._described)
        for name, files in described.items():
            self._take_format(name, files, arrivals.of(files))

    def _recognised(self, file: Found, arrivals: Arrivals) -> str | None:
        """The format of a file; None if it has been left out."""
        kind = "an empty file"
        if file.size:
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
            if name is not None:
                return name
            kind = other_kind(head)
            self._unknown.add(file.path)  # it may be the data file of a header
        arrivals.saw_unknown(file, kind)
        self._leave(file, "skipped", STILL_ARRIVING if arrivals.is_young(file) else f"not an image ({kind})")
        return None

    def _described(self, name: str, files: Sequence[Found]) -> Iterator[DescribedFile]:
        keywords = self._keywords[name]
        if isinstance(keywords, SkippedCase):
            for file in files:
                self._leave(file, "skipped", str(keywords), name)
            return
        answers = self._readers.describe(name, [file.path for file in files], keywords)
        for file, (path, answer) in zip(files, answers, strict=True):
            if isinstance(answer, Description) and answer.series_words is not None:
                self.series[path] = answer.series_words
            yield DescribedFile(file, answer)

    def _take_format(self, name: str, files: Sequence[DescribedFile], arriving: set[Path]) -> None:
        """Files of one format → cases and left-out entries, but for what is still arriving."""
        grouped = load_format(name).group(files, self._request)
        files_of = [*(case.files for case in grouped.cases), *(entry.files for entry in grouped.left_out)]
        claimed = self._unknown & {path for paths in files_of for path in paths}
        self.left_out = [entry for entry in self.left_out if claimed.isdisjoint(entry.files)]
        errors = {entry.file.path for entry in files if isinstance(entry.answer, SegcliError)}
        for entry in grouped.left_out:
            hasty = entry.status == "failed" or not errors.isdisjoint(entry.files)
            waits = hasty and not arriving.isdisjoint(entry.files)
            self.left_out.append(replace(entry, status="skipped", reason=STILL_ARRIVING) if waits else entry)
        taken: list[Case] = []
        told: set[Path] = set()  # a file may be in several cases (time points), but is left out only once
        for case in grouped.cases:
            if arriving.isdisjoint(case.files):
                taken.append(case)
            else:
                self._leave_case(case, STILL_ARRIVING, told)
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

    def _leave(
        self, file: Found, status: Literal["skipped", "failed"], reason: str, format_name: str | None = None
    ) -> None:
        name, identifier = str(file.relative), file.id(self._options.key)
        self.left_out.append(LeftOut(name, identifier, status, reason, (file.path,), format_name))


def _keywords(name: str, elements: ElementRequest) -> tuple[str, ...] | SkippedCase:
    """What files of a format must be asked for, or why none of them is chosen. Raises UsageError."""
    try:
        return load_format(name).keywords(elements)
    except SkippedCase as error:
        return error
