"""Where slices lie: order, oblique planes, gaps, tilt, and spacings that nobody states."""

from __future__ import annotations

from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.dicom.format import FORMAT
from segcli.formats.dicom.records import dicom_case
from segcli.formats.dicom.stack import shape_of

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
    positions = dicom_case(case).geometry.positions
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


def test_slice_thickness_that_is_empty_is_replaced_and_told(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images:
        image.SliceThickness = None
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    making.segment(case, tmp_path / "seg")
    measures = dcmread(tmp_path / "seg").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(2.5)
    assert any("thickness" in text for text in case.warnings)


@pytest.mark.parametrize("missing", [False, True])
def test_slices_closer_than_a_hundredth_of_a_millimetre_are_one_stack(missing: bool, tmp_path: Path) -> None:
    """Tomograms of an eye and of small animals: 6 micrometres between slices are no second time point."""
    values = making.phantom()
    images = making.stack(values, step=(0, 0, 0.006))
    for image in images:
        image.PixelSpacing = [0.006, 0.006]
    case = making.scan(making.save_all([*images[:3], *images[3 + missing :]], tmp_path)).case
    assert case.shape == (6 - missing, 24, 20)
    assert any("1 slice(s) seem to be missing" in text for text in case.warnings) == missing
    assert np.array_equal(making.read(case).pixels[:3, 0], values[:3])
