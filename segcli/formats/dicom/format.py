"""The DICOM format as scan, reader processes and writer see it.

``describe_instance`` and ``read`` run in reader processes; ``group``, ``write`` and ``verify`` in the main process.
pydicom and highdicom are imported when a DICOM file is met, not before.
"""

# ruff: noqa: PLC0415 - reader processes need no highdicom, and a run without DICOM files neither library

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.formats.decoding import MASK_PIXELS
from segcli.formats.dicom import recognise

if TYPE_CHECKING:
    from segcli.case import Case, LeftOut
    from segcli.contract import ModelCard
    from segcli.formats.dicom.grouping import GroupRequest
    from segcli.formats.interface import InputFiles, MaskRequest, ReadRequest, ReadResult
    from segcli.image import Json, LabelMap


class DicomFormat:
    """DICOM in, DICOM SEG out. All errors are of :mod:`segcli.errors`."""

    name = "dicom"

    def recognises(self, head: bytes) -> bool:
        """Whether a file whose first 4096 bytes are ``head`` is DICOM, with or without preamble, or encrypted DICOM."""
        return recognise.recognises(head)

    def select_keywords(self, select: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Keywords for :meth:`describe_instance`, from the pairs of ``--select``. Raises UsageError on unknown ones."""
        from segcli.formats.dicom.selection import select_keywords

        return select_keywords(select)

    def describe_instance(self, path: Path, keywords: Sequence[str] = ()) -> Json:
        """What grouping must know of one file, from its header. Raises SkippedCase or UnreadableError."""
        from segcli.formats.dicom.instance import describe_instance

        return describe_instance(path, keywords).to_json()

    def group(self, records: Sequence[tuple[Path, Json]], request: GroupRequest) -> tuple[list[Case], list[LeftOut]]:
        """Files and their descriptions → cases, and every file left out with its reason."""
        from segcli.formats.dicom.grouping import group
        from segcli.formats.dicom.records import Instance

        return group([(path, Instance.from_json(record)) for path, record in records], request)

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

    def card_warnings(self, card: ModelCard) -> tuple[str, ...]:
        """What is to be told of a card whose labels cannot all be coded."""
        from segcli.formats.dicom.terms import card_warnings

        return card_warnings(card)


FORMAT = DicomFormat()
