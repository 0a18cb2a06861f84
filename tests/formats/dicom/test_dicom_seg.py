"""What stands in a SEG, asked of pydicom alone; the same for the same input; valid when nothing was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from segcli.case import Case
from segcli.contract import Code
from segcli.errors import UnsupportedError, WriteError
from segcli.formats.dicom.format import FORMAT
from segcli.formats.dicom.uids import derived_uid
from segcli.image import LabelMap


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return making.scan(making.save_all(making.stack(making.phantom()), tmp_path / "in")).case


def test_pixels_bit_for_bit(case: Case, tmp_path: Path) -> None:
    labels = making.segment(case, tmp_path / "seg").pixels
    found = making.mask_by_source(tmp_path / "seg")
    numbers = {label.value: number for number, label in enumerate(making.CARD.labels, 1)}
    for index, (file, _) in enumerate(case.details["slices"]):
        segments = found.get((case.details["instances"][file][1], 0), {})
        for value, number in numbers.items():
            expected = labels[index] == value
            assert np.array_equal(segments.get(number, np.zeros_like(expected)), expected)


@pytest.mark.parametrize(("rows", "columns"), [(7, 9), (5, 3), (8, 8), (2, 4), (13, 1)])
def test_frames_run_on_without_padding_between_them(rows: int, columns: int, tmp_path: Path) -> None:
    """Rows x columns need not fill bytes; the end is padded with zeros to an even number of bytes."""
    case = making.scan(making.save_all(making.stack(making.phantom(5, rows, columns)), tmp_path / "in")).case
    labels = np.random.default_rng(rows).choice([0, making.MIDDLE, making.BRIGHT], (5, rows, columns)).astype(np.uint8)
    labels[:, 0, 0] = making.MIDDLE
    masks = (LabelMap(labels),)
    FORMAT.write(tmp_path / "seg", case, masks, making.mask_request())
    assert FORMAT.verify(tmp_path / "seg", case, masks, making.mask_request())
    seg = dcmread(tmp_path / "seg")
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    used = seg.NumberOfFrames * rows * columns
    assert bits[:used].sum() == np.count_nonzero(labels) and not bits[used:].any()
    assert len(seg.PixelData) == (used + 15) // 16 * 2
    assert np.array_equal(FORMAT.read_labels(tmp_path / "seg")[0].pixels, labels)


def test_modules(case: Case, tmp_path: Path) -> None:
    making.segment(case, tmp_path / "seg")
    seg, source = dcmread(tmp_path / "seg"), dcmread(case.files[0])
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert seg.file_meta.MediaStorageSOPInstanceUID == seg.SOPInstanceUID
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4" and seg.Modality == "SEG"
    assert (seg.BitsAllocated, seg.BitsStored, seg.HighBit, seg.SegmentationType) == (1, 1, 0, "BINARY")
    assert list(seg.ImageType) == ["DERIVED", "PRIMARY"]
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
        *("StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "FrameOfReferenceUID"),
    ):
        assert seg[keyword].value == source[keyword].value, keyword
    assert seg.SpecificCharacterSet == "ISO_IR 192"
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID and seg.SeriesNumber != source.SeriesNumber
    assert (seg.ContentDate, seg.ContentTime) == (source.ContentDate, source.ContentTime)
    assert seg.Manufacturer and seg.ManufacturerModelName and seg.DeviceSerialNumber and seg.SoftwareVersions
    assert "SeriesDescription" in seg and "Phantom" not in seg.SeriesDescription
    listed = seg.ReferencedSeriesSequence[0]
    assert listed.SeriesInstanceUID == source.SeriesInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in listed.ReferencedInstanceSequence] == [
        dcmread(path).SOPInstanceUID for path in case.files
    ]
    assert {item.ReferencedSOPClassUID for item in listed.ReferencedInstanceSequence} == {making.CT}


def test_segments_are_described_whether_found_or_not(case: Case, tmp_path: Path) -> None:
    making.segment(case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [1, 2, 3]
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["body", "core", "never there"]
    for item, label in zip(seg.SegmentSequence, making.CARD.labels, strict=True):
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1.2.0"
        assert len(item.RecommendedDisplayCIELabValue) == 3
        code = label.type or Code("SCT", "85756007", "Tissue")
        found = item.SegmentedPropertyTypeCodeSequence[0]
        assert (found.CodingSchemeDesignator, found.CodeValue) == (code.scheme, code.code)
    assert "never there" in FORMAT.card_warnings(making.CARD)[0]
    used = {f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in seg.PerFrameFunctionalGroupsSequence}
    assert used == {1, 2}
    indices = [tuple(f.FrameContentSequence[0].DimensionIndexValues) for f in seg.PerFrameFunctionalGroupsSequence]
    assert len(set(indices)) == len(indices) and min(min(index) for index in indices) == 1


def test_same_input_same_file_other_pixels_other_uid(case: Case, tmp_path: Path) -> None:
    labels = making.segment(case, tmp_path / "one")
    making.segment(case, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    pixels = labels.pixels.copy()
    pixels[0, 0, 0] = making.MIDDLE
    FORMAT.write(tmp_path / "three", case, (LabelMap(pixels),), making.mask_request())
    other_model = replace(making.CARD, version="1.3.0")
    FORMAT.write(tmp_path / "four", case, (labels,), making.mask_request(card=other_model))
    segs = [dcmread(tmp_path / name) for name in ("one", "three", "four")]
    assert len({seg.SOPInstanceUID for seg in segs}) == 3
    assert segs[0].SeriesInstanceUID == segs[1].SeriesInstanceUID != segs[2].SeriesInstanceUID
    for seg in segs:
        for element in seg.iterall():
            if element.VR == "UI" and element.value:
                assert len(str(element.value)) <= 64


def test_order_of_the_files_on_disk_does_not_matter(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for folder, order in (("a", images), ("b", images[::-1])):
        making.segment(making.scan(making.save_all(order, tmp_path / folder)).case, tmp_path / f"{folder}.seg")
    assert (tmp_path / "a.seg").read_bytes() == (tmp_path / "b.seg").read_bytes()


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_nothing_found_is_a_valid_seg(kind: str, case: Case, tmp_path: Path) -> None:
    labels = making.segment(case, tmp_path / "seg", kind, low=5000, high=6000)
    assert not labels.pixels.any()
    seg = dcmread(tmp_path / "seg")
    assert seg.NumberOfFrames >= 1 and not any(seg.PixelData)
    assert {item.SegmentLabel for item in seg.SegmentSequence} >= {"body", "core", "never there"}
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 6


def test_labelmap_keeps_the_values_of_the_card(case: Case, tmp_path: Path) -> None:
    labels = making.segment(case, tmp_path / "seg", "labelmap")
    seg = dcmread(tmp_path / "seg")
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7" and seg.SegmentationType == "LABELMAP"
    present = {int(value) for value in np.unique(seg.pixel_array)}
    described = {int(item.SegmentNumber) for item in seg.SegmentSequence}
    assert present == {0, making.BRIGHT, making.MIDDLE} and present <= described | {0}
    assert np.array_equal(FORMAT.read_labels(tmp_path / "seg")[0].pixels, labels.pixels)


def test_labels_of_16_bits(case: Case, tmp_path: Path) -> None:
    card = replace(making.CARD, labels=(replace(making.CARD.labels[0], value=40_000),))
    pixels = np.zeros((6, 24, 20), np.uint16)
    pixels[2:4, 3:9, 5:7] = 40_000
    for kind in ("binary", "labelmap"):
        masks, request = (LabelMap(pixels),), making.mask_request(kind, card)
        FORMAT.write(tmp_path / kind, case, masks, request)
        assert FORMAT.verify(tmp_path / kind, case, masks, request)
        assert set(np.unique(FORMAT.read_labels(tmp_path / kind)[0].pixels)) <= {0, 40_000}


def test_values_and_shapes_that_do_not_fit_are_refused(case: Case, tmp_path: Path) -> None:
    for pixels in (np.full((6, 24, 20), 77, np.uint8), np.zeros((5, 24, 20), np.uint8)):
        with pytest.raises(WriteError):
            FORMAT.write(tmp_path / "seg", case, (LabelMap(pixels),), making.mask_request())


def test_verify_sees_what_a_viewer_does_not(case: Case, tmp_path: Path) -> None:
    labels = making.segment(case, tmp_path / "seg")

    def broken(change: object) -> bool:
        seg = dcmread(tmp_path / "seg")
        change(seg)  # type: ignore[operator]
        seg.save_as(tmp_path / "broken")
        return FORMAT.verify(tmp_path / "broken", case, (labels,), making.mask_request())

    def flip_bit(seg: Dataset) -> None:
        data = bytearray(seg.PixelData)
        data[len(data) // 2] ^= 4
        seg.PixelData = bytes(data)

    def swap_sources(seg: Dataset) -> None:
        one, two = (seg.PerFrameFunctionalGroupsSequence[index].DerivationImageSequence for index in (0, 2))
        first, second = one[0].SourceImageSequence, two[0].SourceImageSequence
        one[0].SourceImageSequence, two[0].SourceImageSequence = second, first

    def move(seg: Dataset) -> None:
        seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]

    def drop_segment(seg: Dataset) -> None:
        del seg.SegmentSequence[2]

    assert broken(lambda seg: None)
    assert not any(broken(change) for change in (flip_bit, swap_sources, move, drop_segment))


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


def test_slice_thickness_that_is_empty_is_replaced_and_told(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images:
        image.SliceThickness = None
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    making.segment(case, tmp_path / "seg")
    measures = dcmread(tmp_path / "seg").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(2.5)
    assert any("thickness" in text for text in case.warnings)


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


def test_derived_uids_do_not_run_together() -> None:
    assert derived_uid("a", "bc") != derived_uid("ab", "c") != derived_uid("abc")
    assert derived_uid("a", b"\0") == derived_uid(b"a", "\0")
    assert UID(derived_uid("x")).is_valid


@pytest.mark.parametrize("stated", [None, [0, 0]], ids=["absent", "zero"])
def test_a_spacing_that_is_not_stated_is_not_made_up(tmp_path: Path, stated: list[float] | None) -> None:
    images = making.stack(making.phantom())
    for image in images:
        image.PixelSpacing = stated
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    assert case.spacing is None and any("--spacing" in text for text in case.warnings)
    with pytest.raises(UnsupportedError, match="--spacing"):
        making.read(case)
    given = making.mask_request(spacing=(0.8, 0.7))  # the user's word stands in for the header's
    masks = (making.threshold(making.read(case, spacing=(0.8, 0.7))),)
    FORMAT.write(tmp_path / "seg", case, masks, given)
    assert FORMAT.verify(tmp_path / "seg", case, masks, given)
    seg = dcmread(tmp_path / "seg")
    assert list(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing) == [0.8, 0.7]
    assert seg.FrameOfReferenceUID == images[0].FrameOfReferenceUID


def test_slices_of_another_zoom_are_a_mask_of_their_own(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images[4:]:
        image.PixelSpacing = [0.9, 0.7]
    found = making.scan(making.save_all(images, tmp_path / "in"))
    assert sorted((case.shape, case.spacing) for case in found.cases) == [
        ((2, 24, 20), pytest.approx((0.9, 0.7, 2.5))),
        ((4, 24, 20), pytest.approx((0.8, 0.7, 2.5))),
    ]
