"""Many frames in one file, and images without a place."""

from __future__ import annotations

from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from segcli.errors import UnsupportedError

AXIAL = (1, 0, 0, 0, 1, 0)


def test_without_position_each_image_stands_alone(tmp_path: Path) -> None:
    images = making.stack(making.phantom(3))
    for image in images:
        del image.ImagePositionPatient, image.ImageOrientationPatient, image.FrameOfReferenceUID
    found = making.scan(making.save_all(images, tmp_path / "in"))
    assert [case.shape for case in found.cases] == [(1, 24, 20)] * 3
    case = found.cases[0]
    assert making.read(case).geometry.positions is None
    making.segment(case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert "FrameOfReferenceUID" not in seg and "PatientOrientation" in seg
    assert "PlanePositionSequence" not in seg.PerFrameFunctionalGroupsSequence[0]
    assert "PlaneOrientationSequence" not in seg.SharedFunctionalGroupsSequence[0]


def cine(frames: int = 4) -> Dataset:
    values = making.phantom(frames)
    image = making.stack(values)[0]
    image.SOPClassUID, image.Modality = UID(making.US_MULTI), "US"
    del image.FrameOfReferenceUID, image.ImagePositionPatient, image.ImageOrientationPatient
    del image.RescaleIntercept, image.RescaleSlope
    image.NumberOfFrames = frames
    making.put(image, ((values.astype(int) + 1024) // 8).astype(np.uint8))
    return image


def test_cine_is_one_case_with_a_frame_number_for_every_mask(tmp_path: Path) -> None:
    making.save(cine(), tmp_path / "in" / "film")
    case = making.scan(tmp_path / "in").case
    assert case.shape == (4, 24, 20)
    making.segment(case, tmp_path / "seg", low=128, high=155)
    found = making.mask_by_source(tmp_path / "seg")
    assert {number for _, number in found} == {1, 2, 3, 4}
    seg = dcmread(tmp_path / "seg")
    for frame in seg.PerFrameFunctionalGroupsSequence:
        number = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        assert frame.FrameContentSequence[0].TemporalPositionIndex == number


def enhanced(frames: int = 4) -> tuple[Dataset, np.ndarray]:
    """Frames stored from head to foot while positions rise: the order must come from the functional groups."""
    values = making.phantom(frames)
    singles = making.stack(values)
    image = singles[0]
    image.SOPClassUID, image.Modality = UID(making.ENHANCED_MR), "MR"
    image.NumberOfFrames = frames
    groups = []
    for single in reversed(singles):
        group, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = list(single.ImagePositionPatient)
        content.StackID = "1"
        group.PlanePositionSequence = DicomSequence([place])
        group.FrameContentSequence = DicomSequence([content])
        groups.append(group)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.7], 2.5
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    shared.PixelMeasuresSequence = DicomSequence([measures])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(image, keyword)
    del image.RescaleIntercept, image.RescaleSlope
    image.SharedFunctionalGroupsSequence = DicomSequence([shared])
    image.PerFrameFunctionalGroupsSequence = DicomSequence(groups)
    making.put(image, (values[::-1].astype(int) + 1024).astype(np.uint16))
    return image, values


def test_enhanced_frames_are_ordered_by_their_functional_groups(tmp_path: Path) -> None:
    image, values = enhanced()
    making.save(image, tmp_path / "in" / "image")
    case = making.scan(tmp_path / "in").case
    assert case.shape == (4, 24, 20) and case.spacing == pytest.approx((0.8, 0.7, 2.5))
    assert np.array_equal(making.read(case).pixels[:, 0], values.astype(int) + 1024)
    labels = making.segment(case, tmp_path / "seg", low=1030, high=1200)
    by_frame = making.mask_by_source(tmp_path / "seg")
    for (_, number), segments in by_frame.items():
        place = 4 - number
        assert np.array_equal(segments[1], labels.pixels[place] == making.MIDDLE)
    for frame in dcmread(tmp_path / "seg").PerFrameFunctionalGroupsSequence:
        number = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        assert frame.PlanePositionSequence[0].ImagePositionPatient[2] == pytest.approx(10 + 2.5 * (4 - number))


def test_a_film_is_no_volume(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    frames = np.stack([making.stored_values(image)] * 3)
    image.PixelData, image.NumberOfFrames = frames.tobytes(), 3
    making.save(image, tmp_path / "image")
    case = making.scan(tmp_path).case
    assert making.read(case).pixels.shape[0] == 3
    with pytest.raises(UnsupportedError, match="3-D model"):
        making.read(case, spatial_dims=3)


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_as_many_functional_groups_as_frames(change: str, tmp_path: Path) -> None:
    image, _ = enhanced()
    groups = list(image.PerFrameFunctionalGroupsSequence)
    image.PerFrameFunctionalGroupsSequence = DicomSequence(groups[:2] if change == "fewer" else groups * 2)
    making.save(image, tmp_path / "a")
    found = making.scan(tmp_path)
    assert not found.cases and "4 frames" in found.left_out[0].reason


def test_each_frame_has_its_own_rescale(tmp_path: Path) -> None:
    image, values = enhanced()
    for number, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        rescale = Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = number + 1, -number, "US"
        group.PixelValueTransformationSequence = DicomSequence([rescale])
    making.save(image, tmp_path / "a")
    pixels = making.read(making.scan(tmp_path).case).pixels[:, 0]
    for number in range(4):
        stored = values[3 - number].astype(int) + 1024
        assert np.array_equal(pixels[3 - number], stored * (number + 1) - number)


@pytest.mark.parametrize(("stated", "usable"), [(b"-1024", True), (b"-1024,0", False)])
def test_a_rescale_that_a_converter_left_outside_the_groups_counts(stated: bytes, usable: bool, tmp_path: Path) -> None:
    image, values = enhanced()
    image.RescaleSlope = 1
    making.put_bytes(image, "RescaleIntercept", "DS", stated)
    making.save(image, tmp_path / "a")
    found = making.scan(tmp_path)
    assert [entry.status for entry in found.left_out] == ([] if usable else ["failed"])
    if usable:
        assert np.array_equal(making.read(found.case).pixels[:, 0], values)


def test_frames_of_two_orientations_are_a_mask_each(tmp_path: Path) -> None:
    image, values = enhanced()
    for group in image.PerFrameFunctionalGroupsSequence[2:]:
        orientation = Dataset()
        orientation.ImageOrientationPatient = [0.6, 0.8, 0, -0.8, 0.6, 0]
        group.PlaneOrientationSequence = DicomSequence([orientation])
    making.save(image, tmp_path / "in" / "a")
    found = making.scan(tmp_path / "in")
    assert len(found.cases) == 2
    told = {}
    for case in found.cases:
        labels = making.segment(case, tmp_path / case.id, low=1030, high=1200)
        told |= making.mask_by_source(tmp_path / case.id)
        assert labels.pixels.any()
    for (_, number), segments in told.items():  # frame 1 shows the last slice of the phantom
        assert np.array_equal(segments[1], (values[4 - number] > 6) & (values[4 - number] <= 176))
    assert {number for _, number in told} == {1, 2, 3, 4}


def test_one_stack_in_several_files_of_frames(tmp_path: Path) -> None:
    """A concatenation (C.7.6.16.2.2.4): positions tell the order, not the files."""
    image, values = enhanced()
    groups = list(image.PerFrameFunctionalGroupsSequence)
    frames = np.frombuffer(image.PixelData, "<u2").reshape(4, 24, 20)
    for part, chosen in enumerate(([0, 2], [1, 3])):
        image.SOPInstanceUID = UID(f"{making.ROOT}.8.{part}")
        image.NumberOfFrames, image.InConcatenationNumber = 2, part + 1
        image.PerFrameFunctionalGroupsSequence = DicomSequence([groups[index] for index in chosen])
        making.put(image, frames[chosen])
        making.save(image, tmp_path / str(part))
    case = making.scan(tmp_path).case
    assert np.array_equal(making.read(case).pixels[:, 0], values.astype(int) + 1024)
