"""A TIFF that is read in bands while the run goes on: changed under the reader, and beside others in the read-ahead."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import tifffile

from segcli.batch.ahead import ASSUMED_BYTES, bytes_ahead
from segcli.batch.observer import RunObserver
from segcli.case import Case
from segcli.formats.readers import Readers
from segcli.formats.tiff import FORMAT

Predict = Callable[..., int]
IN_BANDS = ("--max-pixels", "6000")
"""The image below has more pixels than that, each of its rows of tiles fewer."""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    folder = tmp_path / "large"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (200, 80), np.uint8)
    tifffile.imwrite(folder / "a.tif", pixels, tile=(16, 16), compression="zlib")
    return folder


def outcome(output: Path) -> Any:
    (case,) = json.loads((output / "report.json").read_text())["cases"]
    return case


def touch(path: Path) -> None:
    """The same size, one second newer."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


class Starts(RunObserver):
    """Does something when a case was read, before its first tile."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self.deed = deed

    def on_start(self, case: Case) -> None:
        self.deed()


def test_an_image_changed_after_its_first_band_fails(predict: Predict, large: Path, tmp_path: Path) -> None:
    assert predict(*IN_BANDS, source=large) == 0
    assert outcome(tmp_path / "out")["status"] == "done"

    touching = Starts(lambda: touch(large / "a.tif"))
    assert predict(*IN_BANDS, source=large, output=tmp_path / "again", observers=(touching,)) == 4
    case = outcome(tmp_path / "again")
    assert case["status"] == "failed"
    assert case["reason"] == "the input changed while it was read: run again when it is complete"
    assert not [path for path in (tmp_path / "again").rglob("*") if ".tif" in path.name]


def test_damage_that_comes_of_a_change_is_called_a_change(predict: Predict, large: Path, tmp_path: Path) -> None:
    cutting = Starts(lambda: os.truncate(large / "a.tif", 600))
    assert predict(*IN_BANDS, source=large, observers=(cutting,)) == 4
    assert "changed while it was read" in outcome(tmp_path / "out")["reason"]


def case(shape: tuple[int, int, int] | None, banded: bool) -> Case:
    return Case("0" * 12, "tiff", "a", PurePosixPath("a"), (), shape=shape, banded=banded)


@pytest.mark.parametrize(
    ("shape", "banded", "expected"),
    [
        ((1, 40_000, 40_000), True, ASSUMED_BYTES),
        ((1, 40_000, 40_000), False, 4 * 40_000**2),
        ((1, 8192, 8192), True, 4 * 8192**2),
        ((1, 100, 100), True, 40_000),
        (None, False, ASSUMED_BYTES),
    ],
)
def test_what_a_case_takes_of_the_memory(shape: tuple[int, int, int] | None, banded: bool, expected: int) -> None:
    assert bytes_ahead(case(shape, banded), 8192**2) == expected


def test_an_image_in_bands_leaves_room_to_read_ahead(predict: Predict, tmp_path: Path) -> None:
    """Each of three images would fill the memory alone; the second is asked for before the first is segmented."""
    folder = tmp_path / "three"
    folder.mkdir()
    for name in "abc":
        tifffile.imwrite(folder / f"{name}.tif", np.zeros((5000, 5000), np.uint8), tile=(256, 256), compression="zlib")
    asked: list[str] = []
    begun: list[int] = []

    class Counting(Readers):
        def submit_read(self, case: Case, *arguments: Any) -> Any:
            asked.append(case.name)
            return super().submit_read(case, *arguments)

    def seen_enough() -> None:
        begun.append(len(asked))
        for path in folder.iterdir():
            path.write_bytes(b"")  # which ends the case at its first band

    options = ("--max-pixels", "20000000", "--memory", "100000000")
    assert predict(*options, source=folder, readers=Counting, observers=(Starts(seen_enough),)) == 4
    assert begun[0] == 2


@pytest.mark.parametrize(
    ("options", "banded"),
    [
        ({"tile": (256, 256)}, True),
        ({"rowsperstrip": 64}, True),
        ({"rowsperstrip": 5000}, False),
        ({"tile": (256, 256), "extratags": [(274, 3, 1, 6, True)]}, False),
        ({"tile": (256, 256), "dtype": np.float16}, False),
    ],
)
def test_the_headers_say_what_will_be_read_in_bands(options: dict[str, Any], banded: bool, tmp_path: Path) -> None:
    dtype = options.pop("dtype", np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((5000, 5000), dtype), compression="zlib", **options)
    assert FORMAT.describe(path).banded is banded
