"""What a SEG may say of where its pixels lie: only what its source states, or the user on the command line."""

from __future__ import annotations

from segcli.case import Case
from segcli.formats.dicom.records import dicom_case
from segcli.settings import PredictSettings

NO_SPACING = "it states positions but no usable pixel spacing: give --spacing ROWS,COLUMNS in mm, or correct the header"


def is_in_space(case: Case) -> bool:
    """Whether the slices of the source have positions in a frame of reference (C.7.4.1)."""
    details = dicom_case(case)
    return details.geometry.positions is not None and details.frame_of_reference_uid is not None


def pixel_spacing(case: Case, settings: PredictSettings) -> tuple[float, float] | None:
    """mm (rows, columns): the source's, or where it states none that of ``--spacing``."""
    stated = dicom_case(case).geometry.spacing or settings.spacing
    return None if stated is None else (float(stated[0]), float(stated[1]))


def has_planes(case: Case, settings: PredictSettings) -> bool:
    """Whether the SEG states planes: positions in a frame of reference, and pixel measures to go with them."""
    return is_in_space(case) and pixel_spacing(case, settings) is not None


def thickness(case: Case, spacing: tuple[float, float]) -> float:
    """mm: as stated, else the distance between slices, else the smaller side of a pixel.

    It may be empty in a source (type 2), but a SEG with planes and without it is invalid (type 1C). Nothing is computed
    with it here; the case's warnings say what stands in its place.
    """
    details = dicom_case(case)
    return details.slice_thickness or details.slice_step or min(spacing)
