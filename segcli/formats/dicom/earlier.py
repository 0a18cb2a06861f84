"""What a new SEG says of the one it replaces: a series that grew between two runs leaves two objects in an archive."""

from __future__ import annotations

import re
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from segcli.case import Case
from segcli.formats.dicom.records import dicom_case
from segcli.regular_file import open_regular

_REPLACES = re.compile(r"Replaces SEG [0-9.]+, made from \d+ of \d+ images\.")
_TAGS = ["SOPInstanceUID", "ReferencedSeriesSequence", "ImageComments"]


def replaced(earlier: Path, case: Case) -> str | None:
    """A sentence about the SEG at ``earlier``; None if there is none, or it was made from the images of ``case`` too.

    A SEG of the same images that names a predecessor passes its sentence on, so that making it again changes nothing.
    """
    try:
        with open_regular(earlier, follow_links=False) as stream:
            seg = dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS)
            used, uid, comments = _instances(seg), str(seg.SOPInstanceUID), str(seg.get("ImageComments", ""))
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on a damaged file, which is replaced or refused later
        return None
    there = set(dicom_case(case).instance_uids)
    if used == there:
        passed_on = _REPLACES.search(comments)
        return None if passed_on is None else passed_on[0]
    return f"Replaces SEG {uid}, made from {len(used & there)} of {len(there)} images."


def _instances(seg: Dataset) -> set[str]:
    return {
        str(instance.get("ReferencedSOPInstanceUID", ""))
        for series in seg.get("ReferencedSeriesSequence", ())
        for instance in series.get("ReferencedInstanceSequence", ())
    }
