"""A case left open has a reader process of its own: its bands arrive bit for bit, and its end is nobody else's."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fake_format import FORMATS, alive, case, descriptors, files, known_pixels, wait_until

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.interface import InputFiles, ReadRequest
from segcli.formats.readers import ReadCase, Readers
from segcli.image import Geometry, Image

BANDED = ReadRequest(hold_pixels=1)


def left_open(readers: Readers, folder: Path, words: str = "bands ok", deadline: float | None = None) -> ReadCase:
    path = folder / "large"
    path.write_text(words)
    return readers.submit_read(case(path), BANDED, deadline).result(30)


def test_bands_arrive_bit_for_bit(readers: Readers, tmp_path: Path) -> None:
    delivery = left_open(readers, tmp_path)
    assert delivery.banded
    first, second = delivery.parts
    assert (first.shape, first.dtype, first.valid) == ((3, 2, 41, 17), np.dtype(np.int16), None)
    assert first.geometry == Geometry(spacing=(0.1, 1 / 3)) and first.extra == {"note": [1, "two"]}
    for slice_index, start, stop in ((0, 0, 41), (2, 5, 9), (1, 40, 41), (0, 3, 4)):
        expected = known_pixels()[slice_index, :, start:stop]
        np.testing.assert_array_equal(first.read(slice_index, start, stop), expected)
        np.testing.assert_array_equal(second.read(slice_index, start, stop), -expected)
    assert delivery.warnings == ("left open",)
    assert delivery.digest == InputFiles([tmp_path / "large"]).digest()
    delivery.close()


def test_other_cases_are_read_meanwhile_and_their_crash_leaves_the_open_one_alone(
    readers: Readers, tmp_path: Path
) -> None:
    delivery = left_open(readers, tmp_path)
    good, bad = files(tmp_path, "ok", "exit")
    held = readers.submit_read(case(good), ReadRequest()).result(20)
    assert not held.banded and all(isinstance(part, Image) for part in held.parts)
    with pytest.raises(UnreadableError, match="crashed"):
        readers.submit_read(case(bad), ReadRequest()).result(20)
    np.testing.assert_array_equal(delivery.parts[0].read(0, 0, 3), known_pixels()[0, :, :3])
    delivery.close()
    held.close()


@pytest.mark.parametrize("word", ["exit", "segfault"])
def test_a_crash_in_a_band_is_the_end_of_that_case_only(readers: Readers, tmp_path: Path, word: str) -> None:
    delivery = left_open(readers, tmp_path, f"bands {word}")
    part = delivery.parts[0]
    part.read(0, 0, 20)
    for start in (20, 0):
        with pytest.raises(UnreadableError, match="the decoder crashed on it"):
            part.read(0, start, start + 1)
    [good] = files(tmp_path, "ok")
    assert readers.submit_read(case(good), ReadRequest()).result(20).parts


def test_an_error_in_a_band_is_told_and_the_reader_lives_on(readers: Readers, tmp_path: Path) -> None:
    delivery = left_open(readers, tmp_path, "bands unsupported")
    with pytest.raises(UnsupportedError, match="two lines"):
        delivery.parts[0].read(0, 20, 21)
    np.testing.assert_array_equal(delivery.parts[0].read(0, 0, 3), known_pixels()[0, :, :3])
    delivery.close()


def test_bands_count_against_the_deadline_of_the_case(readers: Readers, tmp_path: Path) -> None:
    delivery = left_open(readers, tmp_path, "bands sleep", deadline=2)
    [pid] = readers.pids
    start = time.monotonic()
    with pytest.raises(UnreadableError, match="not read within"):
        delivery.parts[0].read(0, 20, 21)
    assert time.monotonic() - start < 10
    wait_until(lambda: not alive(pid))


def test_a_reader_that_is_killed_between_bands_is_a_loss_of_the_case(readers: Readers, tmp_path: Path) -> None:
    delivery = left_open(readers, tmp_path)
    [pid] = readers.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UnreadableError, match="crashed"):
        delivery.parts[0].read(0, 0, 1)


@pytest.mark.parametrize("how", ["close", "drop", "end of the readers"])
def test_nothing_is_left_of_an_open_case(how: str, tmp_path: Path) -> None:
    gc.collect()
    before = descriptors()
    pool = Readers(1, formats=FORMATS)
    delivery = left_open(pool, tmp_path)
    part = delivery.parts[0]
    part.read(0, 0, 1)
    [pid] = pool.pids
    if how == "close":
        delivery.close()
        delivery.close()
        wait_until(lambda: not alive(pid))
        assert pool.pids == ()
    elif how == "drop":
        del delivery, part
        gc.collect()
        wait_until(lambda: not alive(pid))
    pool.close()
    wait_until(lambda: not alive(pid))
    if how != "drop":
        with pytest.raises(UnreadableError, match="stopped"):
            part.read(0, 0, 1)
        del delivery, part
    del pool
    gc.collect()
    assert descriptors() <= before


def test_the_end_of_the_readers_ends_a_band_that_is_being_read(tmp_path: Path) -> None:
    with Readers(1, formats=FORMATS) as pool:
        delivery = left_open(pool, tmp_path, "bands sleep")
        [pid] = pool.pids
        told: list[Exception] = []

        def read() -> None:
            try:
                delivery.parts[0].read(0, 20, 21)
            except UnreadableError as error:
                told.append(error)

        reading = threading.Thread(target=read)
        reading.start()
        time.sleep(0.3)
        start = time.monotonic()
    reading.join(10)
    assert str(told[0]) == "the run was stopped" and time.monotonic() - start < 5
    assert not alive(pid)
