"""What a SEG takes over from sources that are not as the standard asks."""

from __future__ import annotations

from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID


def test_absent_type_2_elements_are_written_empty(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    absent = ("PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber")
    for image in images:
        for keyword in (*absent, "ReferringPhysicianName", "PatientName", "ContentDate", "ContentTime"):
            delattr(image, keyword)
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    making.segment(case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    for keyword in (*absent, "ReferringPhysicianName", "PatientName"):
        assert keyword in seg and not seg[keyword].value, keyword
    assert (seg.ContentDate, seg.ContentTime) == ("19000101", "000000")
    assert any("1900" in text for text in case.warnings)


@pytest.mark.parametrize(
    ("sets", "raw", "expected"),
    [
        (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 192", "Ærø^Žofie".encode(), "Ærø^Žofie"),
        ("ISO_IR 144", "Иванов^Иван".encode("iso8859_5"), "Иванов^Иван"),
        (None, "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    ],
)
def test_names_survive_in_any_character_set(
    sets: str | list[str] | None, raw: bytes, expected: str, tmp_path: Path
) -> None:
    length = len(raw) + len(raw) % 2
    for index, image in enumerate(making.stack(making.phantom())):
        image.PatientName = "Q" * length
        image.SpecificCharacterSet = sets or "ISO_IR 6"
        path = making.save(image, tmp_path / "in" / str(index))
        data = path.read_bytes()
        assert data.count(b"Q" * length) == 1
        path.write_bytes(data.replace(b"Q" * length, raw.ljust(length)))
    making.segment(making.scan(tmp_path / "in").case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert seg.SpecificCharacterSet == "ISO_IR 192"
    assert str(seg.PatientName) == expected


def test_loss_is_passed_on(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    images[4].LossyImageCompression, images[4].LossyImageCompressionRatio = "01", "12.5"
    images[4].LossyImageCompressionMethod = "ISO_10918_1"
    making.segment(making.scan(making.save_all(images, tmp_path / "in")).case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert seg.LossyImageCompression == "01" and float(seg.LossyImageCompressionRatio) == 12.5
    assert seg.LossyImageCompressionMethod == "ISO_10918_1"


@pytest.mark.parametrize(("age", "kept"), [("042Y", "042Y"), ("42", None), ("007D", "007D"), ("", "")])
def test_an_age_that_breaks_its_rules_is_left_out(age: str, kept: str | None, tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for index, image in enumerate(images):
        image.PatientAge = "000Y"
        path = making.save(image, tmp_path / "in" / str(index))
        place = (data := path.read_bytes()).index(b"AS\x04\x00000Y")
        stored = age.encode() if not age or len(age) % 2 == 0 else f"{age} ".encode()
        field = b"AS" + len(stored).to_bytes(2, "little") + stored
        path.write_bytes(data[:place] + field + data[place + 8 :])
    making.segment(making.scan(tmp_path / "in").case, tmp_path / "seg")
    assert dcmread(tmp_path / "seg").get("PatientAge") == kept


def test_projection_image_gets_no_planes(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    image.SOPClassUID, image.Modality, image.PatientOrientation = UID(making.DX), "DX", ["L", "F"]
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness"):
        delattr(image, keyword)
    making.save(image, tmp_path / "in" / "dx")
    making.segment(making.scan(tmp_path / "in").case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert list(seg.PatientOrientation) == ["L", "F"]
    assert "FrameOfReferenceUID" not in seg
    assert not {"PlanePositionSequence", "PixelMeasuresSequence"} & {
        element.keyword
        for element in [*seg.SharedFunctionalGroupsSequence[0], *seg.PerFrameFunctionalGroupsSequence[0]]
    }
    assert "DerivationImageSequence" in seg.PerFrameFunctionalGroupsSequence[0]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm", "693_J2KI.dcm"])
def test_real_files_with_private_elements_and_overlays(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(Path(str(get_testdata_file(name))).read_bytes())
    case = making.scan(tmp_path / "in").case
    picture = making.read(case)
    middle, high = np.quantile(picture.pixels, [0.8, 0.95])
    labels = making.segment(case, tmp_path / "seg", low=float(middle), high=float(high))
    assert labels.pixels.any()
    seg = dcmread(tmp_path / "seg")
    assert not [element for element in seg.iterall() if element.tag.is_private or 0x6000 <= element.tag.group < 0x6100]


def test_a_weight_with_a_comma_is_left_out(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images:
        image.PatientSize = 1.7
        making.put_bytes(image, "PatientWeight", "DS", b"70,5")
    making.segment(making.scan(making.save_all(images, tmp_path / "in")).case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert "PatientWeight" not in seg and seg.PatientSize == 1.7
