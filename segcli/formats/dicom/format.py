"""The DICOM format as scan, reader processes and writer see it.

pydicom and highdicom are imported when a DICOM file is met, not before; a reader process needs no highdicom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from segcli.case import Case, LeftOut
from segcli.errors import SkippedCase
from segcli.formats.dicom import recognise
from segcli.formats.dicom.records import DicomCase, Instance, instance_of
from segcli.formats.interface import (
    DescribedFile,
    Description,
    ElementRequest,
    Format,
    Grouped,
    GroupRequest,
    InputFiles,
    MaskRequest,
    ReadRequest,
    ReadResult,
)
from segcli.formats.limits import MASK_PIXELS
from segcli.image import Json, LabelMap

_SERIES_WORDS = ("SeriesNumber", "SeriesDescription")


class DicomFormat(Format):
    """DICOM in, DICOM SEG out."""

    name = "dicom"
    in_series = True
    inside_gzip = False

    def recognises(self, head: bytes) -> bool:
        """Whether it is DICOM, with or without preamble, or encrypted DICOM.

        A preamble may hold the magic of another format, of a TIFF for example (PS3.10, 7.1).
        """
        return recognise.recognises(head)

    def keywords(self, request: ElementRequest) -> tuple[str, ...]:
        """Keywords of the elements of ``--select``, and of the series. Raises UsageError on unknown ones."""
        words = _SERIES_WORDS if request.series_words else ()
        if not request.select:
            return words
        from segcli.formats.dicom.selection import select_keywords

        return (*select_keywords(request.select), *words)

    def describe(self, path: Path, keywords: Sequence[str] = ()) -> Description:
        """What grouping must know of one file. Raises SkippedCase or UnreadableError."""
        from segcli.formats.dicom.instance import describe_instance

        instance = describe_instance(path, keywords)
        words = None
        if set(_SERIES_WORDS) <= set(keywords):
            number, description = (next(iter(instance.selected[word]), "") for word in _SERIES_WORDS)
            words = (number, description)
        return Description(series=instance.series_uid, series_words=words, details=instance)

    def details_of_file(self, value: Json) -> Instance:
        """Of an instance."""
        return Instance.from_json(value)

    def details_of_case(self, value: Json) -> DicomCase:
        """Of a case."""
        return DicomCase.from_json(value)

    def group(self, files: Sequence[DescribedFile], request: GroupRequest) -> Grouped:
        """Series, or parts of one, as cases."""
        from segcli.formats.dicom.grouping import SeriesRequest, group

        by_path = {entry.file.path: entry.file for entry in files}
        left_out: list[LeftOut] = []
        described = []
        for path, answer in ((entry.file.path, entry.answer) for entry in files):
            if isinstance(answer, Description):
                described.append((path, instance_of(answer.details)))
                continue
            status: Literal["skipped", "failed"] = "skipped" if isinstance(answer, SkippedCase) else "failed"
            name, identifier = str(by_path[path].relative), by_path[path].id(request.key)
            left_out.append(LeftOut(name, identifier, status, str(answer), (path,), self.name))
        instances = SeriesRequest(lambda path: by_path[path].relative, request.select, request.spacing_given)
        cases, more = group(described, instances)
        linked = [replace(case, linked=any(by_path[path].linked for path in case.files)) for case in cases]
        return Grouped(linked, left_out + more)

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """Intensities of a case. Raises UnreadableError or UnsupportedError."""
        from segcli.formats.dicom.reading import read

        return read(case, request, files)

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """Write the label map of a case as DICOM SEG. Raises WriteError or UnreadableError (a source has changed)."""
        from segcli.formats.dicom.seg_writer import write

        write(target, case, masks, request)

    def verify(self, path: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> bool:
        """Whether the SEG at ``path`` holds exactly ``masks``, slice by slice, absent frames included."""
        from segcli.formats.dicom.seg_reader import verify

        return verify(path, case, masks, request)

    def read_labels(self, path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
        """Label numbers of a SEG, of the slices that have frames in it."""
        from segcli.formats.dicom.seg_reader import read_labels

        return read_labels(path, max_pixels)


FORMAT = DicomFormat()
