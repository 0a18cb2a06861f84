"""A series that is still arriving: it waits, and a mask of its first half says so when it is replaced."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from predicting import Predict
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan


def slices(count: int) -> list[Dataset]:
    import dicom_making as making  # noqa: PLC0415 - on the path only now

    return making.stack(np.random.default_rng(0).integers(0, 900, (count, 32, 32)).astype(np.int16))


def save(images: Sequence[Dataset], folder: Path) -> None:
    import dicom_making as making  # noqa: PLC0415

    making.save_all(images, folder)


def seg(folder: Path) -> Dataset:
    (path,) = folder.rglob("SEG_*.dcm")
    return dcmread(path)


def test_a_mask_of_half_a_series_is_named_by_the_one_that_replaces_it(predict: Predict, tmp_path: Path) -> None:
    images = slices(6)
    save(images[:4], tmp_path / "in/ct")
    predict()
    half = seg(tmp_path / "out")
    assert "ImageComments" not in half
    save(images, tmp_path / "in/ct")
    (case,) = predict().values()
    whole = seg(tmp_path / "out")
    assert whole.ImageComments == f"Replaces SEG {half.SOPInstanceUID}, made from 4 of 6 images."
    assert "replaces an earlier mask, which was made from 4 files, this one from 6" in case["warnings"]
    assert not any(half.SOPInstanceUID in warning for warning in case["warnings"])
    predict("--overwrite")
    assert seg(tmp_path / "out").SOPInstanceUID == whole.SOPInstanceUID


def test_a_copy_that_keeps_old_times_is_still_arriving(predict: Predict, tmp_path: Path) -> None:
    save(slices(3), tmp_path / "in/ct")
    for path in (tmp_path / "in/ct").iterdir():
        os.utime(path, (1e9, 1e9))  # as cp -p and rsync -a leave them
    (case,) = predict("--settle", "3600", code=3).values()
    assert case["status"] == "skipped" and case["reason"].startswith("still arriving")


class Sender(Readers):
    """Readers during whose work another file of the series arrives."""

    def __init__(self, late: Dataset | bytes, folder: Path) -> None:
        super().__init__(1)
        self._late, self._to = late, folder

    def describe(self, *request: Any) -> Iterator[Any]:
        yield from super().describe(*request)
        self._to.mkdir(exist_ok=True)
        if isinstance(self._late, bytes):
            (self._to / "late.dcm").write_bytes(self._late)
        else:
            self._late.save_as(self._to / "late.dcm", enforce_file_format=True)


def test_a_series_that_grows_during_the_scan_is_not_complete(tmp_path: Path) -> None:
    images = slices(4)
    save(images[:3], tmp_path / "in/ct")
    options = ScanOptions(b"key", settle=60, now=time.time() + 3600)
    with Sender(images[3], tmp_path / "in/ct") as readers:
        found = scan([tmp_path / "in"], options, readers)
    assert not found.cases
    assert {entry.reason.partition(":")[0] for entry in found.left_out} == {"still arriving"}
    with Readers(1) as readers:  # the next night
        assert len(scan([tmp_path / "in"], options, readers).cases[0].files) == 4


def left_out(late: Dataset | bytes, tmp_path: Path) -> set[str]:
    """Of a series in one folder below the input, while ``late`` comes into another folder there."""
    save(slices(4)[:3], tmp_path / "in/ct")
    options = ScanOptions(b"key", settle=60, now=time.time() + 3600)
    with Sender(late, tmp_path / "in/ct2") as readers:
        found = scan([tmp_path / "in"], options, readers)
    assert bool(found.cases) != bool(found.left_out)
    return {entry.reason.partition(":")[0] for entry in found.left_out}


def test_a_series_that_grows_in_another_folder_is_not_complete(tmp_path: Path) -> None:
    assert left_out(slices(4)[3], tmp_path) == {"still arriving"}


def test_a_new_file_that_does_not_tell_its_series_may_belong_to_any(tmp_path: Path) -> None:
    assert left_out(b"\0" * 132, tmp_path) == {"still arriving"}


def test_a_new_image_of_another_series_holds_nothing_up(tmp_path: Path) -> None:
    other = slices(4)[3]
    other.SeriesInstanceUID = generate_uid()
    assert left_out(other, tmp_path) == set()


def test_a_new_log_holds_nothing_up(tmp_path: Path) -> None:
    assert left_out(b"a log\n", tmp_path) == set()


def test_an_image_that_became_something_else_during_the_scan_is_not_taken(tmp_path: Path) -> None:
    save(slices(1), tmp_path / "in")
    (image,) = (tmp_path / "in").iterdir()
    image.rename(tmp_path / "in/late.dcm")
    options = ScanOptions(b"key", settle=60, now=time.time() + 3600)
    with Sender(b"a log\n", tmp_path / "in") as readers:
        found = scan([tmp_path / "in"], options, readers)
    assert not found.cases
    assert [entry.reason.partition(":")[0] for entry in found.left_out] == ["still arriving"]


def inspected(path: Path, terminal: bool) -> str:
    command = [sys.executable, "-m", "segcli", "inspect", str(path)]
    if not terminal:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    main, side = pty.openpty()
    subprocess.run(command, stdout=side, stderr=side, check=True)
    os.close(side)
    text = b""
    with open(main, "rb", buffering=0) as stream:  # noqa: PTH123 - a descriptor
        while True:
            try:
                part = stream.read(4096)
            except OSError:  # Linux says so at the end of a terminal
                return text.decode()
            if not part:
                return text.decode()
            text += part


def test_number_and_description_of_a_series_are_for_a_terminal_alone(tmp_path: Path) -> None:
    images = slices(3)
    for image in images:
        image.SeriesNumber, image.SeriesDescription = 7, "T1 \x1b[31mprage"
    save(images, tmp_path / "in/ct")
    shown = inspected(tmp_path / "in", terminal=True)
    assert re.search(r'series 7 "T1 .*prage"', shown) and "\x1b[31m" not in shown
    piped = inspected(tmp_path / "in", terminal=False)
    assert "prage" not in piped and "series 7" not in piped


def test_a_damaged_earlier_mask_is_replaced_all_the_same(predict: Predict, tmp_path: Path) -> None:
    images = slices(5)
    save(images[:4], tmp_path / "in/ct")
    predict()
    (path,) = (tmp_path / "out").rglob("SEG_*.dcm")
    data = path.read_bytes()
    at = data.index(b"\x08\x00\x15\x11SQ")  # Referenced Series Sequence
    path.write_bytes(data[: at + 8] + b"\x40\0\0\0" + data[at + 12 : at + 60])
    save(images, tmp_path / "in/ct")
    predict()
    assert len(dcmread(path).ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 5
