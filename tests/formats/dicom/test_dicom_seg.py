"""What stands in a SEG, asked of pydicom alone; the same for the same input; valid when nothing was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from segcli.case import Case
from segcli.contract import Code
from segcli.errors import UnreadableError, UnsupportedError, WriteError
from segcli.formats.dicom.format import FORMAT
from segcli.formats.dicom.records import dicom_case
from segcli.formats.dicom.terms import card_warnings
from segcli.formats.dicom.uids import derived_uid
from segcli.image import LabelMap


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return making.scan(making.save_all(making.stack(making.phantom()), tmp_path / "in")).case


def test_pixels_bit_for_bit(case: Case, tmp_path: Path) -> None:
    labels = making.segment(case, tmp_path / "seg").pixels
    found = making.mask_by_source(tmp_path / "seg")
    numbers = {label.value: number for number, label in enumerate(making.CARD.labels, 1)}
    for index, source in enumerate(dicom_case(case).sources):
        segments = found.get(source, {})
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
    assert len(FORMAT.read_labels(tmp_path / "seg", -(-used // 4))) == 1  # pixels of four bytes
    with pytest.raises(UnsupportedError, match="the mask takes"):
        FORMAT.read_labels(tmp_path / "seg", used // 4 - 1)


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
    assert seg.file_meta.ImplementationVersionName.startswith("SEGCLI")
    assert seg.file_meta.ImplementationClassUID.startswith("2.25.")
    assert "toy threshold" in seg.SeriesDescription and "core" in seg.SeriesDescription  # model and target
    assert seg.SeriesDescription.startswith("Not for diagnosis: ") and "Phantom" not in seg.SeriesDescription
    assert seg.ContentDescription.startswith("Made by software, not for diagnosis")
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
    assert "never there" in card_warnings(making.CARD)[0]
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


@pytest.mark.parametrize("settings", [{"gate": "off"}, {"overlap": 0.5}, {"dicom_deflate": True}], ids=str)
def test_other_settings_other_instance(settings: dict[str, object], case: Case, tmp_path: Path) -> None:
    masks = (making.segment(case, tmp_path / "one"),)
    FORMAT.write(tmp_path / "two", case, masks, making.mask_request(**settings))
    one, two = dcmread(tmp_path / "one"), dcmread(tmp_path / "two")
    assert one.SOPInstanceUID != two.SOPInstanceUID and one.PixelData == two.PixelData
    assert (one.SeriesInstanceUID == two.SeriesInstanceUID) is ("dicom_deflate" in settings)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_deflated_is_the_same_data_set_in_fewer_bytes(kind: str, case: Case, tmp_path: Path) -> None:
    masks = (making.segment(case, tmp_path / "plain", kind),)
    request = making.mask_request(kind, dicom_deflate=True)
    FORMAT.write(tmp_path / "deflated", case, masks, request)
    assert FORMAT.verify(tmp_path / "deflated", case, masks, request)
    plain, deflated = dcmread(tmp_path / "plain"), dcmread(tmp_path / "deflated")
    assert deflated.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert (tmp_path / "deflated").stat().st_size < (tmp_path / "plain").stat().st_size / 2
    deflated.SOPInstanceUID = plain.SOPInstanceUID  # two contents never share one
    assert deflated == plain


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


def test_derived_uids_do_not_run_together() -> None:
    assert derived_uid("a", "bc") != derived_uid("ab", "c") != derived_uid("abc")
    assert derived_uid("a", b"\0") == derived_uid(b"a", "\0")
    assert UID(derived_uid("x")).is_valid


def test_a_seg_that_places_only_some_of_its_frames_is_refused(tmp_path: Path) -> None:
    case = making.scan(making.save_all(making.stack(making.phantom(3)), tmp_path / "in")).case
    making.segment(case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    last = seg.PerFrameFunctionalGroupsSequence[-1].PlanePositionSequence[0].ImagePositionPatient
    for frame in seg.PerFrameFunctionalGroupsSequence:
        if frame.PlanePositionSequence[0].ImagePositionPatient == last:
            del frame.PlanePositionSequence
    seg.save_as(tmp_path / "broken")
    with pytest.raises(UnreadableError, match="where each of its frames lies"):
        FORMAT.read_labels(tmp_path / "broken")
