"""Headers that contradict themselves or each other: refused with one line, never guessed at."""

from __future__ import annotations

from pathlib import Path

import dicom_making as making
import pytest
from pydicom.uid import UID


def test_one_uid_with_two_contents_fails_the_series(tmp_path: Path) -> None:
    images = making.stack(making.phantom(3))
    making.save_all(images, tmp_path / "a")
    making.put(images[1], making.stored_values(images[1])[::-1].copy())
    making.save(images[1], tmp_path / "b" / "001.dcm")
    found = making.scan(tmp_path)
    assert not found.cases
    assert found.left_out[0].status == "failed" and len(found.left_out[0].files) == 4


def test_images_at_one_place_that_nothing_tells_apart_fail(tmp_path: Path) -> None:
    for copy in range(2):
        for index, image in enumerate(making.stack(making.phantom(3))):
            image.SOPInstanceUID = UID(f"{making.ROOT}.7.{copy}.{index}")
            image.InstanceNumber = 1
            del image.ContentTime
            making.save(image, tmp_path / f"{index}-{copy}")
    found = making.scan(tmp_path)
    assert not found.cases
    assert [entry.status for entry in found.left_out] == ["failed"]
    assert len(found.files()) == 6


def test_one_instance_in_two_series_fails_both(tmp_path: Path) -> None:
    first, second = making.stack(making.phantom()), making.stack(making.phantom())
    for image in second:
        image.SeriesInstanceUID = "1.2.3.4.5"
    making.save_all(first, tmp_path / "a")
    making.save_all(second, tmp_path / "b")
    found = making.scan(tmp_path)
    assert not found.cases
    assert {entry.status for entry in found.left_out} == {"failed"}


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [("PatientID", "P2", "different patients"), ("StudyInstanceUID", "1.2.3.4", "two studies")],
)
def test_one_series_of_two_patients_or_studies_fails(keyword: str, value: str, words: str, tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images[3:]:
        setattr(image, keyword, value)
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases and len(found.files()) == 6
    assert {entry.status for entry in found.left_out} == {"failed"}
    assert all(words in entry.reason and value not in entry.reason for entry in found.left_out)


BROKEN = {
    "a decimal comma": ("RescaleSlope", b"1,5"),
    "not a number": ("RescaleSlope", b"nan"),
    "zero": ("RescaleSlope", b"0"),
    "a word": ("RescaleIntercept", b"none"),
    "two of three": ("ImagePositionPatient", b"1\\2"),
    "not finite": ("ImagePositionPatient", b"inf\\0\\0"),
    "not perpendicular": ("ImageOrientationPatient", b"1\\0\\0\\0.6\\0.8\\0"),
    "one of two": ("PixelSpacing", b"0.8"),
    "commas": ("PixelSpacing", b"0,8\\0,7"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_number_is_not_taken_for_an_absent_one(name: str, tmp_path: Path) -> None:
    """Read as absent, a rescale of 1,5 would be one of 1: a plausible wrong mask."""
    keyword, value = BROKEN[name]
    images = making.stack(making.phantom())
    making.put_bytes(images[2], keyword, "DS", value)
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases
    assert found.left_out[0].status == "failed" and keyword in found.left_out[0].reason
    assert value.decode() not in found.left_out[0].reason


def test_images_with_and_without_rescale_do_not_compare(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    del images[2].RescaleSlope, images[2].RescaleIntercept
    found = making.scan(making.save_all(images, tmp_path))
    assert not found.cases and "rescaled" in found.left_out[0].reason


@pytest.mark.parametrize(
    ("photometric", "samples"), [("YBR_PARTIAL_422", 3), ("HSV", 3), ("MONOCHROME2", 3), ("RGB", 1), ("Smith^John", 1)]
)
def test_colours_we_cannot_tell_are_refused_without_quoting_the_header(
    photometric: str, samples: int, tmp_path: Path
) -> None:
    image = making.stack(making.phantom(1))[0]
    image.SamplesPerPixel, image.PlanarConfiguration = samples, 0
    image.PixelData = image.PixelData * samples
    making.put_bytes(image, "PhotometricInterpretation", "CS", photometric.encode())
    making.save(image, tmp_path / "a")
    found = making.scan(tmp_path)
    assert not found.cases
    assert found.left_out[0].status == "failed" and "Smith" not in found.left_out[0].reason.title()
