"""What a reader process decodes arrives bit for bit, in order, and its errors as one clear line."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from fake_format import FORMATS, NAME, Size, case, files, known_pixels, texts

from segcli.case import Case
from segcli.errors import SkippedCase, UnreadableError, UnsupportedError
from segcli.formats import pixel_memory
from segcli.formats.interface import Description, InputFiles, ReadRequest
from segcli.formats.readers import CHUNK, Readers
from segcli.image import Geometry


def test_a_description_arrives_as_it_was_made(readers: Readers, tmp_path: Path) -> None:
    paths = files(tmp_path, "ok")
    [(path, answer)] = readers.describe("fake", paths)
    expected = Description(modality="MR", shape=(3, 41, 17), spacing=(0.1, 1 / 3), details=Size(2))
    assert (path, answer) == (paths[0], expected)


def test_pixels_arrive_bit_for_bit(readers: Readers, tmp_path: Path) -> None:
    [path] = files(tmp_path, "ok")
    delivery = readers.submit_read(case(path), ReadRequest(channels=("T1", "T2"))).result(20)
    first, second = delivery.parts
    expected = known_pixels()
    assert first.pixels.dtype == np.int16
    np.testing.assert_array_equal(first.pixels, expected)
    assert first.valid is not None
    np.testing.assert_array_equal(first.valid, expected[:, 0] > 0)
    assert first.geometry == Geometry(spacing=(0.1, 1 / 3), positions=((0.0, 0.5, 1 / 7),) * 3)
    assert first.extra == {"note": [1, "two"]}
    np.testing.assert_array_equal(second.pixels, expected[:, :, ::2, ::-1])
    assert second.pixels.dtype == np.dtype("=f8") and second.valid is None
    assert delivery.warnings == ("wanted ('T1', 'T2')",)
    assert delivery.digest == InputFiles([path]).digest()
    assert delivery.seconds >= 0


def test_pixels_may_be_written_to_and_outlive_the_readers(tmp_path: Path) -> None:
    [path] = files(tmp_path, "ok")
    with Readers(1, formats=FORMATS) as pool:
        pixels = pool.submit_read(case(path), ReadRequest()).result(20).parts[0].pixels
    pixels += 1
    np.testing.assert_array_equal(pixels, known_pixels() + 1)


def test_labels_above_255_arrive_exactly(readers: Readers, tmp_path: Path) -> None:
    [path] = files(tmp_path, "ok")
    [labels] = readers.read_labels("fake", path)
    assert labels.pixels.dtype == np.uint16
    assert labels.pixels.tolist() == [[[65000, 65001, 65002], [65003, 65004, 65005]]]


def test_megabytes_on_stderr_neither_block_nor_show(
    readers: Readers, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [path] = files(tmp_path, "shout")
    assert readers.submit_read(case(path), ReadRequest(), deadline=20).result(20).parts
    assert texts(readers.describe("fake", [path])) == ["described"]
    shown = capfd.readouterr()
    assert NAME not in shown.out + shown.err


def test_errors_keep_class_and_text_but_foreign_ones_only_their_class(readers: Readers, tmp_path: Path) -> None:
    answers = [answer for _, answer in readers.describe("fake", files(tmp_path, "raise", "skip", "unsupported"))]
    assert [type(answer) for answer in answers] == [UnreadableError, SkippedCase, UnsupportedError]
    assert "ValueError" in str(answers[0]) and NAME not in str(answers[0])
    assert [str(answer) for answer in answers[1:]] == ["nothing for us", "two lines"]


def test_a_description_that_makes_no_sense_is_an_error_of_the_file(readers: Readers, tmp_path: Path) -> None:
    found = texts(readers.describe("fake", files(tmp_path, "ok", "nonsense", "ok")))
    assert [text == "described" for text in found] == [True, False, True]
    assert "its decoder gave up" in found[1]


def test_a_missing_file_is_told_as_such(readers: Readers, tmp_path: Path) -> None:
    assert "vanished" in texts(readers.describe("fake", [tmp_path / "none"]))[0]


def test_many_descriptions_come_in_order_from_several_readers(tmp_path: Path) -> None:
    paths = files(tmp_path, *["ok"] * (2 * CHUNK + 3))
    paths[CHUNK].write_text("exit")
    with Readers(2, formats=FORMATS) as pool:
        answers = list(pool.describe("fake", paths))
    assert [path for path, _ in answers] == paths
    assert [index for index, (_, answer) in enumerate(answers) if isinstance(answer, Exception)] == [CHUNK]


def test_channel_files_are_stacked_in_order(readers: Readers, tmp_path: Path) -> None:
    paths = files(tmp_path, "ok one channel", "ok one channel")
    both = Case("0", "fake", "a", PurePosixPath("a"), tuple(paths), channel_files=2)
    delivery = readers.submit_read(both, ReadRequest(channels=("T1", "T2"))).result(20)
    first = delivery.parts[0].pixels
    assert first.shape == (3, 2, 41, 17)
    np.testing.assert_array_equal(first[:, 0], known_pixels()[:, 0])
    np.testing.assert_array_equal(first[:, 1], known_pixels()[:, 0] + 1)
    assert delivery.warnings == ("wanted ('T1',)", "wanted ('T2',)")
    assert delivery.digest == InputFiles(paths).digest()


def test_without_memfd_a_private_file_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create")
    memory = pixel_memory.PixelMemory(str(tmp_path))
    place = memory.put(known_pixels())
    memory.seal()
    assert list(tmp_path.iterdir()) == []
    [pixels] = pixel_memory.map_arrays(memory.descriptor, [place])
    memory.close()
    np.testing.assert_array_equal(pixels, known_pixels())
