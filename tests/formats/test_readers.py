"""A decoder may crash, hang, shout or lie: only the case it had fails, with one clear line, and nothing leaks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from segcli.case import Case
from segcli.errors import SkippedCase, UnreadableError, UnsupportedError, UsageError
from segcli.formats import pixel_memory
from segcli.formats.interface import Description, InputFiles, ReadRequest, ReadResult
from segcli.formats.messages import FileDescription
from segcli.formats.readers import CHUNK, Described, Readers
from segcli.image import Geometry, Image, LabelMap

PLACES = {"fake": "test_readers:FORMAT"}
NAME = "DOE^JANE"


def act(path: Path) -> None:
    """What the fake decoder does is the first word of the file."""
    word = path.read_text().split()[0]
    if word == "exit":
        os._exit(3)
    if word == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "sleep":
        time.sleep(600)
    if word == "shout":
        os.write(2, f"{NAME}\n".encode() * 400_000)
    if word == "raise":
        raise ValueError(f"bad name {NAME}")
    if word == "skip":
        raise SkippedCase("nothing for us")
    if word == "unsupported":
        raise UnsupportedError("two\nlines")


def known_pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(-30000, 30000, (3, 2, 41, 17)).astype(np.int16)


class FakeFormat:
    name = "fake"

    def mask_name(self, name: str) -> str:
        return name + ".mask"

    def describe(self, path: Path) -> Description:
        act(path)
        return Description(
            modality="MR", shape=(3, 41, 17), spacing=(0.1, 1 / 3), details={"size": path.stat().st_size}
        )

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        act(case.files[0])
        files.read(case.files[0])
        pixels = known_pixels()
        if "one channel" in case.files[0].read_text():
            pixels = pixels[:, :1] + np.int16(case.files[0].name[-1:])
        geometry = Geometry(spacing=(0.1, 1 / 3), positions=((0.0, 0.5, 1 / 7),) * 3)
        first = Image(pixels, geometry, pixels[:, 0] > 0, {"note": [1, "two"]})
        second = Image(pixels[:, :, ::2, ::-1].astype(">f8"))  # neither contiguous nor of native byte order
        return ReadResult((first, second), (f"wanted {request.channels}",))

    def read_labels(self, path: Path) -> tuple[LabelMap, ...]:
        act(path)
        return (LabelMap(np.arange(6, dtype=np.uint16).reshape(1, 2, 3) + 65000),)


FORMAT = FakeFormat()


@pytest.fixture(autouse=True)
def _readers_find_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def readers() -> Iterator[Readers]:
    with Readers(1, places=PLACES) as pool:
        yield pool


def files(folder: Path, *words: str) -> list[Path]:
    paths = [folder / f"{number:04}" for number in range(len(words))]
    for path, word in zip(paths, words, strict=True):
        path.write_text(word)
    return paths


def case(*paths: Path) -> Case:
    return Case("0123456789ab", "fake", "a", PurePosixPath("a"), paths)


def texts(answers: Iterator[tuple[Path, Described]]) -> list[str]:
    return [str(answer) if isinstance(answer, Exception) else "described" for _, answer in answers]


def test_a_description_arrives_as_it_was_made(readers: Readers, tmp_path: Path) -> None:
    paths = files(tmp_path, "ok")
    [(path, answer)] = readers.describe("fake", paths)
    expected = Description(modality="MR", shape=(3, 41, 17), spacing=(0.1, 1 / 3), details={"size": 2})
    assert (path, answer) == (paths[0], FileDescription(expected, "0000.mask"))


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
    with Readers(1, places=PLACES) as pool:
        pixels = pool.submit_read(case(path), ReadRequest()).result(20).parts[0].pixels
    pixels += 1
    np.testing.assert_array_equal(pixels, known_pixels() + 1)


def test_labels_above_255_arrive_exactly(readers: Readers, tmp_path: Path) -> None:
    [path] = files(tmp_path, "ok")
    [labels] = readers.read_labels("fake", path)
    assert labels.pixels.dtype == np.uint16
    assert labels.pixels.tolist() == [[[65000, 65001, 65002], [65003, 65004, 65005]]]


@pytest.mark.parametrize("word", ["exit", "segfault"])
def test_a_crash_while_describing_fails_that_file_only(readers: Readers, tmp_path: Path, word: str) -> None:
    found = texts(readers.describe("fake", files(tmp_path, "ok", word, "ok", word, "ok")))
    assert [text == "described" for text in found] == [True, False, True, False, True]
    assert "the decoder crashed on it" in found[1]


def test_a_crash_while_reading_fails_that_case_only(readers: Readers, tmp_path: Path) -> None:
    bad, good = files(tmp_path, "exit", "ok")
    futures = [readers.submit_read(case(path), ReadRequest()) for path in (bad, good)]
    with pytest.raises(UnreadableError, match="the decoder crashed on it"):
        futures[0].result(20)
    assert len(futures[1].result(20).parts) == 2


def test_a_reader_killed_from_outside_is_replaced(readers: Readers, tmp_path: Path) -> None:
    asleep, good = files(tmp_path, "sleep", "ok")
    future = readers.submit_read(case(asleep), ReadRequest())
    wait_until(lambda: bool(readers.pids))
    time.sleep(0.3)
    [killed] = readers.pids
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(UnreadableError, match="crashed"):
        future.result(20)
    readers.submit_read(case(good), ReadRequest()).result(20)
    assert readers.pids != (killed,)


def test_a_reader_past_its_deadline_is_ended(readers: Readers, tmp_path: Path) -> None:
    asleep, good = files(tmp_path, "sleep", "ok")
    start = time.monotonic()
    future = readers.submit_read(case(asleep), ReadRequest(), deadline=0.5)
    with pytest.raises(UnreadableError, match=r"not read within 0\.5 seconds"):
        future.result(20)
    assert time.monotonic() - start < 10
    assert readers.submit_read(case(good), ReadRequest(), deadline=20).result(20).parts


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


def test_a_missing_file_is_told_as_such(readers: Readers, tmp_path: Path) -> None:
    assert "vanished" in texts(readers.describe("fake", [tmp_path / "none"]))[0]


def test_many_descriptions_come_in_order_from_several_readers(tmp_path: Path) -> None:
    paths = files(tmp_path, *["ok"] * (2 * CHUNK + 3))
    paths[CHUNK].write_text("exit")
    with Readers(2, places=PLACES) as pool:
        answers = list(pool.describe("fake", paths))
    assert [path for path, _ in answers] == paths
    assert [index for index, (_, answer) in enumerate(answers) if isinstance(answer, Exception)] == [CHUNK]


def test_channel_files_are_stacked_in_order(readers: Readers, tmp_path: Path) -> None:
    paths = files(tmp_path, "ok one channel", "ok one channel")
    both = Case(
        "0", "fake", "a", PurePosixPath("a"), tuple(paths), details={"channel_files": 2, "channel_details": [{}, {}]}
    )
    delivery = readers.submit_read(both, ReadRequest(channels=("T1", "T2"))).result(20)
    first = delivery.parts[0].pixels
    assert first.shape == (3, 2, 41, 17)
    np.testing.assert_array_equal(first[:, 0], known_pixels()[:, 0])
    np.testing.assert_array_equal(first[:, 1], known_pixels()[:, 0] + 1)
    assert delivery.warnings == ("wanted ('T1',)", "wanted ('T2',)")
    assert delivery.digest == InputFiles(paths).digest()


def test_closing_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    paths = files(tmp_path, "ok", "sleep", "ok")
    gc.collect()  # what earlier tests left behind must not go while this one counts
    before = descriptors()
    pool = Readers(1, places=PLACES)
    pool.submit_read(case(paths[0]), ReadRequest()).result(20)
    pids = pool.pids
    running, waiting = (pool.submit_read(case(path), ReadRequest()) for path in paths[1:])
    time.sleep(0.3)
    start = time.monotonic()
    pool.close()
    assert time.monotonic() - start < 5
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(UnreadableError, match="the run was stopped"):
        running.result(1)
    with pytest.raises(CancelledError):
        waiting.result(1)
    del running, waiting, pool
    gc.collect()
    assert descriptors() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word that a parent is gone")
def test_a_reader_dies_with_its_parent_even_in_mid_read(tmp_path: Path) -> None:
    [path] = files(tmp_path, "sleep")
    script = (
        "import sys, time; from pathlib import Path, PurePosixPath\n"
        "from segcli.case import Case; from segcli.formats.readers import Readers\n"
        "from segcli.formats.interface import ReadRequest\n"
        f"pool = Readers(1, places={PLACES!r})\n"
        f"pool.submit_read(Case('0', 'fake', 'a', PurePosixPath('a'), (Path({str(path)!r}),)), ReadRequest())\n"
        "while not pool.pids: time.sleep(0.01)\n"
        "time.sleep(0.3); print(*pool.pids, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        reader = int(parent.stdout.readline())
        assert Path(f"/proc/{reader}").exists()
        parent.kill()
    wait_until(lambda: not alive(reader))


def test_readers_that_cannot_start_are_an_error_of_the_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    with Readers(1, places=PLACES) as pool, pytest.raises(UsageError, match="no reader process can be started"):
        list(pool.describe("fake", files(tmp_path, "ok")))


def test_without_memfd_a_private_file_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create")
    memory = pixel_memory.PixelMemory(str(tmp_path))
    place = memory.put(known_pixels())
    memory.seal()
    assert list(tmp_path.iterdir()) == []
    [pixels] = pixel_memory.map_arrays(memory.descriptor, [place])
    memory.close()
    np.testing.assert_array_equal(pixels, known_pixels())


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
