"""What becomes of a series that holds more than one stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from segcli.formats.dicom.records import dicom_case
from segcli.formats.dicom.timepoints import split_by_time


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
        assert len({instance.instance_uid.split(".")[-2] for instance in dicom_case(case).instances}) == 1


def two_images_a_place(folder: Path, slices: int) -> Iterator[tuple[int, int, Dataset]]:
    """(time, slice, image) to be altered, then saved under names that put the times in another order at each slice."""
    for time in range(2):
        for index, image in enumerate(making.stack(making.phantom(slices))):
            image.SOPInstanceUID = UID(f"{making.ROOT}.7.{time}.{index}")
            yield time, index, image
            making.save(image, folder / f"{index}-{(time + index) % 2}")


def times_of(found: making.Found) -> list[set[str]]:
    """Of each case the times its images were made at, as their UIDs tell."""
    times = ({instance.instance_uid.split(".")[-2] for instance in dicom_case(case).instances} for case in found.cases)
    return sorted(times, key=sorted)


def test_a_value_that_tells_slices_apart_tells_no_times(tmp_path: Path) -> None:
    """Two trigger times and two images a place, but both images of a place have the same one."""
    for time, index, image in two_images_a_place(tmp_path, 2):
        image.TriggerTime, image.AcquisitionNumber = 100 * index, time + 1
    assert times_of(making.scan(tmp_path)) == [{"0"}, {"1"}]


def test_where_every_image_has_a_time_of_its_own_the_first_of_each_place_are_the_first(tmp_path: Path) -> None:
    for time, index, image in two_images_a_place(tmp_path, 3):
        image.ContentTime = f"0304{10 * time + index:02d}"
        del image.InstanceNumber
    assert times_of(making.scan(tmp_path)) == [{"0"}, {"1"}]


def test_two_series_with_clashing_numbers(tmp_path: Path) -> None:
    for series in ("2", "5"):
        for index, image in enumerate(making.stack(making.phantom(3), series=f"{making.ROOT}.{series}")):
            making.save(image, tmp_path / f"{index}{series}")
    found = making.scan(tmp_path)
    assert [case.shape for case in found.cases] == [(3, 24, 20)] * 2
    for case in found.cases:
        making.segment(case, tmp_path / f"{case.id}.seg")
        referenced = dcmread(tmp_path / f"{case.id}.seg").ReferencedSeriesSequence
        assert [item.SeriesInstanceUID for item in referenced] == [dicom_case(case).series_uid]
        assert len(referenced[0].ReferencedInstanceSequence) == 3


@settings(max_examples=60, deadline=None)
@given(places=st.integers(1, 8), times=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_splitting_by_time_gives_each_place_once(places: int, times: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(places * times)
    heights = [float(index % places) * 2.0 for index in order]
    stated = [{"AcquisitionTime": f"{10 + int(index) // places:06d}"} for index in order]
    points = split_by_time(heights, stated, 0.01)
    assert points is not None and len(points) == times
    for _, indices in points:
        assert sorted(heights[index] for index in indices) == [2.0 * place for place in range(places)]
        assert len({stated[index]["AcquisitionTime"] for index in indices}) == 1


def test_slices_of_another_zoom_are_a_mask_of_their_own(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images[4:]:
        image.PixelSpacing = [0.9, 0.7]
    found = making.scan(making.save_all(images, tmp_path / "in"))
    assert sorted((case.shape, case.spacing) for case in found.cases) == [
        ((2, 24, 20), pytest.approx((0.9, 0.7, 2.5))),
        ((4, 24, 20), pytest.approx((0.8, 0.7, 2.5))),
    ]


@pytest.mark.parametrize("kind", ["colour", "modality"])
def test_a_screen_shot_among_slices_is_no_slice(kind: str, tmp_path: Path) -> None:
    images = making.stack(making.phantom(6))
    shot = images[5]
    if kind == "modality":
        shot.Modality = "OT"
    else:
        shot.SamplesPerPixel, shot.PhotometricInterpretation, shot.PlanarConfiguration = 3, "RGB", 0
        shot.BitsAllocated, shot.BitsStored, shot.HighBit = 8, 8, 7
        shot.PixelData = bytes(shot.Rows * shot.Columns * 3)
    found = making.scan(making.save_all(images, tmp_path / "in"))
    assert sorted(case.shape or () for case in found.cases) == [(1, 24, 20), (5, 24, 20)]
    stack = max(found.cases, key=lambda case: case.shape or ())
    assert np.array_equal(making.read(stack).pixels[:, 0], making.phantom(6)[:5])


def test_time_points_never_come_under_one_name() -> None:
    """Counted off by instance number, which runs from 9 to 10 and from 10 to 11: as text 10 comes before 9."""
    stated = [{"InstanceNumber": float(number)} for number in (9, 10, 10, 11)]
    points = split_by_time([0.0, 0.0, 2.0, 2.0], stated, 0.01)
    assert points is not None
    assert len({name for name, _ in points}) == 2 and [indices for _, indices in points] == [[0, 2], [1, 3]]


@pytest.mark.parametrize("empty", [False, True])
def test_a_slice_without_position_is_told_of_by_the_stack_it_is_missing_from(empty: bool, tmp_path: Path) -> None:
    """The last one leaves no gap that a check of the spacing would see."""
    images = making.stack(making.phantom())
    if empty:
        images[5].ImagePositionPatient = None
    else:
        del images[5].ImagePositionPatient
    cases = making.scan(making.save_all(images, tmp_path)).cases
    assert sorted(case.shape[0] for case in cases) == [1, 5]
    assert all(any("1 image(s) of its series state no position" in text for text in case.warnings) for case in cases)
