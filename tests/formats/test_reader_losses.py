"""A decoder may crash or hang: only the case it had fails, with one clear line, and nothing leaks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from fake_format import FORMATS, alive, case, descriptors, files, texts, wait_until

from segcli.errors import UnreadableError, UsageError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers, read_limit


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


def test_a_case_without_a_deadline_is_not_waited_for_without_end(tmp_path: Path) -> None:
    [asleep] = files(tmp_path, "sleep")
    with Readers(1, formats=FORMATS, seconds_for=lambda _: 0.5) as pool:
        future = pool.submit_read(case(asleep), ReadRequest())
        with pytest.raises(UnreadableError, match=r"not read within 0\.5 seconds"):
            future.result(20)


def test_reading_may_take_ten_minutes_and_more_for_a_large_case(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"")
    os.truncate(path, 5_000_000)
    assert read_limit(case(path)) == 605
    assert read_limit(replace(case(path), shape=(1500, 512, 512))) == pytest.approx(605 + 393.216)


def test_closing_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    paths = files(tmp_path, "ok", "sleep", "ok")
    gc.collect()  # what earlier tests left behind must not go while this one counts
    before = descriptors()
    pool = Readers(1, formats=FORMATS)
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
        f"pool = Readers(1, formats={FORMATS!r})\n"
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
    with Readers(1, formats=FORMATS) as pool, pytest.raises(UsageError, match="no reader process can be started"):
        list(pool.describe("fake", files(tmp_path, "ok")))


DIES_AT_START = """
import os, sys
from pathlib import Path
deaths = Path(__file__).with_name("deaths")
if "segcli.formats.reader_process" in sys.orig_argv and deaths.exists() and deaths.read_bytes():
    deaths.write_bytes(deaths.read_bytes()[1:])
    os._exit(7)
"""


@pytest.mark.parametrize(("deaths", "works"), [(1, True), (2, False)])
def test_a_first_reader_that_dies_at_its_start_is_started_once_more(
    deaths: int, works: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_START)
    (tmp_path / "deaths").write_bytes(b"x" * deaths)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(Path(__file__).parent))))
    inputs = tmp_path / "in"
    inputs.mkdir()
    with Readers(1, formats=FORMATS) as pool:
        if works:
            assert texts(pool.describe("fake", files(inputs, "ok"))) == ["described"]
        else:
            with pytest.raises(UsageError, match="do not start: ended with exit code 7"):
                list(pool.describe("fake", files(inputs, "ok")))


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
@pytest.mark.parametrize(("most", "code", "told"), [(9, 2, "ulimit -n"), (24, 0, "30 cases, 0 skipped, 0 failed")])
def test_few_descriptors_are_enough_or_called_what_they_are(most: int, code: int, told: str, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(imagecodecs.png_encode(np.full((9, 9), number, np.uint8)))
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most})); "
    script = limited + "import sys; sys.argv[0] = 'segcli'; from segcli.__main__ import main; main()"
    command = [sys.executable, "-c", script, "inspect", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told in done.stdout + done.stderr
    assert done.returncode == code


def test_small_arrays_hold_no_descriptor(readers: Readers, tmp_path: Path) -> None:
    paths = files(tmp_path, *["ok"] * 5)
    first = readers.submit_read(case(paths[0]), ReadRequest()).result(20)
    before = descriptors()
    held = [readers.submit_read(case(path), ReadRequest()).result(20) for path in paths]
    assert descriptors() == before
    assert all(len(delivery.parts) == 2 for delivery in (first, *held))


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_goes_on_when_the_whole_group_is_told_to_stop(
    readers: Readers, tmp_path: Path, word: signal.Signals
) -> None:
    """The run finishes what is in flight; a case that is being read then is no failure."""
    paths = files(tmp_path, "ok", "ok")
    list(readers.describe("fake", paths[:1]))
    [before] = readers.pids
    os.kill(before, word)
    assert texts(readers.describe("fake", paths)) == ["described", "described"]
    assert readers.pids == (before,)
