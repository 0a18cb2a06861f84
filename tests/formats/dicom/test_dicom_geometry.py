"""Where slices lie: order, splits, gaps, tilt, oblique planes, time points, images without a place."""

from __future__ import annotations

from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.dicom.stack import shape_of
from segcli.formats.dicom.timepoints import split_by_time

AXIAL = (1, 0, 0, 0, 1, 0)
OBLIQUE = (0.9205, 0.2588, -0.2924, -0.2467, 0.9659, 0.0784)


def seg_positions(path: Path) -> dict[str, list[float]]:
    return {
        str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID): [
            float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient
        ]
        for frame in dcmread(path).PerFrameFunctionalGroupsSequence
    }


def test_order_follows_the_normal_and_not_z(tmp_path: Path) -> None:
    """A sagittal stack: z is the same for all slices; x counts, and it falls from file to file."""
    images = making.stack(making.phantom(), orientation=(0, 1, 0, 0, 0, -1), step=(-3, 0, 0))
    case = making.scan(making.save_all(images, tmp_path)).case
    positions = case.details["geometry"]["positions"]
    normal = np.cross((0, 1, 0), (0, 0, -1))
    assert np.all(np.diff(np.asarray(positions) @ normal) > 0)
    assert case.spacing == pytest.approx((0.8, 0.7, 3.0))
    assert case.orientation == "PIR"
    assert not case.warnings


def test_oblique_positions_and_orientation_are_the_sources(tmp_path: Path) -> None:
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    images = making.stack(making.phantom(), orientation=OBLIQUE, step=(normal * 2.5).tolist())
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    making.segment(case, tmp_path / "seg")
    found = seg_positions(tmp_path / "seg")
    assert len(found) == len(images)
    for image in images:
        assert found[image.SOPInstanceUID] == pytest.approx(list(image.ImagePositionPatient), abs=1e-3)
    shared = dcmread(tmp_path / "seg").SharedFunctionalGroupsSequence[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == pytest.approx(OBLIQUE, abs=1e-4)
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == pytest.approx(2.5, abs=1e-3)
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == pytest.approx([0.8, 0.7])


def test_tilted_stack_is_told_kept_on_its_grid_and_refused_for_3d(tmp_path: Path) -> None:
    images = making.stack(making.phantom(), step=(0, 0.9, 2.5))
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    assert any("tilt" in text for text in case.warnings)
    assert making.read(case).geometry.slice_spacing is None
    making.segment(case, tmp_path / "seg")
    found = seg_positions(tmp_path / "seg")
    for image in images:
        assert found[image.SOPInstanceUID] == pytest.approx(list(image.ImagePositionPatient), abs=1e-3)
    measures = dcmread(tmp_path / "seg").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(2.5)  # along the normal, not along the slant
    with pytest.raises(UnsupportedError, match="3-D"):
        making.read(case, spatial_dims=3)


def test_missing_slice_is_told_and_none_is_made_up(tmp_path: Path) -> None:
    images = making.stack(making.phantom(8))
    del images[3]
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    assert any("non-uniform spacing" in text and "1 slice(s)" in text for text in case.warnings)
    making.segment(case, tmp_path / "seg")
    assert set(seg_positions(tmp_path / "seg")) == {image.SOPInstanceUID for image in images}
    measures = dcmread(tmp_path / "seg").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert "SpacingBetweenSlices" not in measures
    for request in ({"gaps": "error"}, {"strict": True}, {"spatial_dims": 3}):
        with pytest.raises(UnsupportedError, match="non-uniform spacing"):
            making.read(case, **request)


def test_two_sizes_are_two_masks(tmp_path: Path) -> None:
    images = making.stack(making.phantom(6))
    images[2] = making.stack(making.phantom(6, 12, 10))[2]
    found = making.scan(making.save_all(images, tmp_path))
    assert sorted(case.shape or () for case in found.cases) == [(1, 12, 10), (5, 24, 20)]
    assert len({case.id for case in found.cases}) == len({case.output for case in found.cases}) == 2
    assert all(any("2 stacks" in text for text in case.warnings) for case in found.cases)


def test_single_image_askew_to_a_stack_is_a_scout(tmp_path: Path) -> None:
    images = making.stack(making.phantom(6))
    scout = making.stack(making.phantom(1), orientation=(0, 1, 0, 0, 0, -1))[0]
    scout.SOPInstanceUID = UID(f"{making.ROOT}.99")
    found = making.scan(making.save_all([*images, scout], tmp_path))
    assert found.case.shape == (6, 24, 20)
    assert [entry.status for entry in found.left_out] == ["skipped"]


@pytest.mark.parametrize("axis", ["localizer", "derived"])
def test_image_types_that_are_no_slices(axis: str, tmp_path: Path) -> None:
    images = making.stack(making.phantom(6))
    images[0].ImageType = (
        ["ORIGINAL", "PRIMARY", "LOCALIZER"] if axis == "localizer" else ["DERIVED", "SECONDARY", "MPR"]
    )
    making.save_all(images, tmp_path)
    found = making.scan(tmp_path)
    assert found.case.shape == (5, 24, 20)
    assert found.left_out[0].status == "skipped" and "--select" in found.left_out[0].reason
    chosen = making.scan(tmp_path, (("ImageType", "*LOCALIZER*" if axis == "localizer" else "*SECONDARY*"),))
    assert chosen.case.shape == (1, 24, 20)


def test_time_points_at_the_same_places_are_masks_of_their_own(tmp_path: Path) -> None:
    for time in range(3):
        for index, image in enumerate(making.stack(making.phantom(4))):
            image.SOPInstanceUID = UID(f"{making.ROOT}.7.{time}.{index}")
            image.AcquisitionNumber = time + 1
            image.InstanceNumber = index * 3 + time + 1
            making.save(image, tmp_path / f"{index}-{time}")
    found = making.scan(tmp_path)
    assert [case.shape for case in found.cases] == [(4, 24, 20)] * 3
    assert len({case.id for case in found.cases}) == 3
    for case in found.cases:
        assert len({instance[1].split(".")[-2] for instance in case.details["instances"]}) == 1


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


def test_one_uid_with_two_contents_fails_the_series(tmp_path: Path) -> None:
    images = making.stack(making.phantom(3))
    making.save_all(images, tmp_path / "a")
    making.put(images[1], making.stored_values(images[1])[::-1].copy())
    making.save(images[1], tmp_path / "b" / "001.dcm")
    found = making.scan(tmp_path)
    assert not found.cases
    assert found.left_out[0].status == "failed" and len(found.left_out[0].files) == 4


def test_two_series_with_clashing_numbers(tmp_path: Path) -> None:
    for series in ("2", "5"):
        for index, image in enumerate(making.stack(making.phantom(3), series=f"{making.ROOT}.{series}")):
            making.save(image, tmp_path / f"{index}{series}")
    found = making.scan(tmp_path)
    assert [case.shape for case in found.cases] == [(3, 24, 20)] * 2
    for case in found.cases:
        making.segment(case, tmp_path / f"{case.id}.seg")
        referenced = dcmread(tmp_path / f"{case.id}.seg").ReferencedSeriesSequence
        assert [item.SeriesInstanceUID for item in referenced] == [case.details["series"]]
        assert len(referenced[0].ReferencedInstanceSequence) == 3


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


def test_changed_after_the_scan_is_an_error_and_not_a_wrong_mask(tmp_path: Path) -> None:
    images = making.stack(making.phantom(3))
    case = making.scan(making.save_all(images, tmp_path)).case
    making.save(images[2], tmp_path / "001.dcm")
    with pytest.raises(UnreadableError, match="scanned"):
        making.read(case)


def test_too_many_pixels_are_refused_before_reading(tmp_path: Path) -> None:
    case = making.scan(making.save_all(making.stack(making.phantom(3)), tmp_path)).case
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        making.read(case, max_pixels=1000)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(2, 30),
    step=st.floats(0.2, 20),
    angles=st.tuples(st.floats(-3, 3), st.floats(-1.5, 1.5)),
    lean=st.floats(0, 0.5),
)
def test_step_along_the_normal_is_found_in_any_direction(
    count: int, step: float, angles: tuple[float, float], lean: float
) -> None:
    a, b = angles
    row = np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)])
    column = np.array([-np.sin(a), np.cos(a), 0.0])
    normal = np.cross(row, column)
    positions = [(normal * step + column * lean * step) * index + 7 for index in range(count)]
    shape = shape_of([position.tolist() for position in positions], [*row, *column], (1.0, 1.0))
    assert shape.normal_step == pytest.approx(step, rel=1e-6)
    total = lean * step * (count - 1)
    if total > 0.26:
        assert shape.spacing is None and "tilt" in shape.warnings[0]
    elif total < 0.24:
        assert shape.spacing == pytest.approx(step, rel=1e-6) and not shape.warnings


@settings(max_examples=60, deadline=None)
@given(places=st.integers(1, 8), times=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_splitting_by_time_gives_each_place_once(places: int, times: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(places * times)
    heights = [float(index % places) * 2.0 for index in order]
    stated = [{"AcquisitionTime": f"{10 + int(index) // places:06d}"} for index in order]
    points = split_by_time(heights, stated)
    assert points is not None and len(points) == times
    for _, indices in points:
        assert sorted(heights[index] for index in indices) == [2.0 * place for place in range(places)]
        assert len({stated[index]["AcquisitionTime"] for index in indices}) == 1
