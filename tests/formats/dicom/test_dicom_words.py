"""Words that stand in a SEG or in a reason: no diagnosis, no name of a patient, no half of a word."""

from __future__ import annotations

from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom.uid import UID

from segcli.formats.dicom.terms import plain

SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")


def test_a_text_too_long_for_an_element_ends_with_a_whole_word() -> None:
    words = "hippocampus-t1 1.1.0 (not for diagnosis): anterior hippocampus, posterior hippocampus"
    assert plain(words, "") == "hippocampus-t1 1.1.0 (not for diagnosis): anterior hippocampus"
    assert plain("a" * 100, "") == "a" * 64
    assert plain("b" * 60 + " cdef", "") == "b" * 60
    assert plain("b" * 60 + " cde", "") == "b" * 60 + " cde"


@pytest.mark.parametrize("modality", ["SMITH_JOHN_1970", "A_B", "XRAY"])
def test_a_modality_that_the_standard_does_not_define_is_not_shown(modality: str, tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images:
        image.Modality = modality
    making.save_all(images, tmp_path)
    (case,) = making.scan(tmp_path).cases
    assert case.modality == "?"


def test_slices_that_were_converted_to_secondary_captures_are_told_from_pictures_of_a_screen(tmp_path: Path) -> None:
    for series, folder, keeps_place in (("2.25.1", "slices", True), ("2.25.2", "screens", False)):
        images = making.stack(np.zeros((2, 16, 16), np.int16), series=series)
        for image in images:
            image.SOPClassUID = SECONDARY_CAPTURE
            if not keeps_place:
                del image.ImagePositionPatient, image.ImageOrientationPatient
        making.save_all(images, tmp_path / folder)
    reasons = {entry.files[0].parent.name: entry.reason for entry in making.scan(tmp_path).left_out}
    assert reasons == {
        "slices": "SOP class Secondary Capture with CT geometry: to include it, --select SOPClassUID=*",
        "screens": "a secondary capture (a picture of a screen or page): --select SOPClassUID=* takes it",
    }
    assert len(making.scan(tmp_path / "slices", (("SOPClassUID", "*"),)).cases) == 1
