"""Many copies and many orientations: neither may take time that grows with its square, nor open what is no file."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import dicom_making as making
import pytest
from pydicom import Dataset
from pydicom import Sequence as DicomSequence
from pydicom.uid import UID

from segcli.errors import UnsupportedError
from segcli.formats.dicom.grouping import SeriesRequest, group
from segcli.formats.dicom.instance import describe_instance
from segcli.formats.dicom.records import Instance, Plane
from segcli.formats.dicom.split import Frame, stacks_of


def turned(angle: float, number: int, instance: Instance) -> Frame:
    """A radial plane about the row direction."""
    cosines = (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))
    return Frame(Path("a"), instance, number, Plane((0.0, 0.0, 0.0), cosines, (1.0, 1.0)))


def instance(tmp_path: Path) -> Instance:
    path = making.save(making.stack(making.phantom(1))[0], tmp_path / "one")
    return describe_instance(path)


def test_ten_thousand_orientations_are_told_apart_in_seconds(tmp_path: Path) -> None:
    one = instance(tmp_path)
    frames = [turned(number * 3e-4, number + 1, one) for number in range(10_000)]
    start = time.process_time()
    assert len(stacks_of(frames)) == 10_000
    assert time.process_time() - start < 10


def test_orientations_that_differ_by_rounding_are_one_stack(tmp_path: Path) -> None:
    """Wherever they lie on the grid by which neighbours are found."""
    one = instance(tmp_path)
    for number in range(200):
        angle = number * 7.3e-5
        close = [turned(angle + turn, index + 1, one) for index, turn in enumerate((0, 0.9e-4))]
        apart = [turned(angle + turn, index + 1, one) for index, turn in enumerate((0, 1.2e-4))]
        assert len({stack.orientation for stack in stacks_of(close)}) == 1
        assert len({stack.orientation for stack in stacks_of(apart)}) == 2


def test_a_copy_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1))
    paths = [making.save(image, tmp_path / name) for name in ("a", "b")]
    records = [(path, describe_instance(path)) for path in paths]
    paths[1].unlink()
    os.mkfifo(paths[1])
    cases, left_out = group(records, SeriesRequest(lambda path: Path(path.name)))
    assert not cases
    assert {entry.status for entry in left_out} == {"failed"}


@pytest.mark.timeout(60)  # a look into each of the groups took minutes
@pytest.mark.parametrize("frames", [5, 100_000])
def test_groups_of_frames_that_are_not_there_are_not_looked_into(frames: int, tmp_path: Path) -> None:
    (image,) = making.stack(making.phantom(1, 1, 1))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = UID(making.ENHANCED_MR)
    image.Modality, image.NumberOfFrames = "MR", frames
    image.PerFrameFunctionalGroupsSequence = DicomSequence([Dataset() for _ in range(100_000)])
    image.PixelData = bytes(2 * frames)
    (left,) = making.scan(making.save_all([image], tmp_path)).left_out
    assert ("describes 100000" if frames == 5 else "frames in") in left.reason


def test_a_file_that_falls_apart_into_too_many_cases_is_not_read_for_each(tmp_path: Path) -> None:
    """2,500 radial frames of 8 bytes, each a case of its own that would read the whole file."""
    (image,) = making.stack(making.phantom(1, 2, 2))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = UID(making.ENHANCED_MR)
    image.Modality, image.NumberOfFrames = "MR", 2500
    image.PerFrameFunctionalGroupsSequence = DicomSequence([radial(number * 2.5e-3) for number in range(2500)])
    image.PixelData = bytes(2500 * 8)
    found = making.scan(making.save_all([image], tmp_path))
    assert len(found.cases) > 2000
    with pytest.raises(UnsupportedError, match="it announces 2,500 slices"):
        making.read(found.cases[7])


def radial(angle: float) -> Dataset:
    group, position, orientation, measures = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [0, 0, 0]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, round(math.cos(angle), 6), round(math.sin(angle), 6)]
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 1
    group.PlanePositionSequence = DicomSequence([position])
    group.PlaneOrientationSequence = DicomSequence([orientation])
    group.PixelMeasuresSequence = DicomSequence([measures])
    return group
