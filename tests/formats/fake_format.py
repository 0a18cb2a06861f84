"""A format whose decoder does what the first word of the file says: the tests' decoders crash, hang, shout and lie."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np

from segcli.case import Case, Details
from segcli.errors import SkippedCase, UnsupportedError
from segcli.formats.file_format import Codec, FileFormat
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.limits import check_pixels
from segcli.formats.readers import Described
from segcli.image import Geometry, Image, Json, LabelMap

FORMATS = {"fake": "fake_format:FORMAT"}
NAME = "DOE^JANE"
GREED = 700 * 2**20


def act(path: Path) -> None:
    """What the fake decoder does is the first word of the file."""
    do(path.read_text().split()[0])


def do(word: str) -> None:
    if word == "exit":
        os._exit(3)
    if word == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "sleep":
        time.sleep(600)
    if word == "shout":
        os.write(2, f"{NAME}\n".encode() * 400_000)
    if word == "greedy":
        np.ones(GREED, np.uint8)
    if word == "declared":
        check_pixels(GREED, 1, GREED, itemsize=1)
        np.ones(GREED, np.uint8)
    if word == "starve":
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.abort()
    if word == "raise":
        raise ValueError(f"bad name {NAME}")
    if word == "skip":
        raise SkippedCase("nothing for us")
    if word == "unsupported":
        raise UnsupportedError("two\nlines")


def known_pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(-30000, 30000, (3, 2, 41, 17)).astype(np.int16)


class FakeBands:
    """The known pixels in bands; the second word of the file is done when row 20 is asked for."""

    shape = (3, 2, 41, 17)
    dtype = np.dtype(np.int16)
    geometry = Geometry(spacing=(0.1, 1 / 3))
    valid = None
    extra = MappingProxyType({"note": [1, "two"]})

    def __init__(self, words: list[str], sign: int) -> None:
        self._words, self._sign = words, sign

    def read(self, slice_index: int, row_start: int, row_stop: int) -> np.ndarray:
        if row_start <= 20 < row_stop:
            do(self._words[1])
        return self._sign * known_pixels()[slice_index, :, row_start:row_stop]

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Size(Details):
    size: int

    def to_json(self) -> Json:
        return {"size": self.size}


class FakeCodec:
    def describe(self, path: Path) -> Description:
        act(path)
        if path.read_text() == "nonsense":
            return Description(shape=(3, 41, "{}"))
        return Description(modality="MR", shape=(3, 41, 17), spacing=(0.1, 1 / 3), details=Size(path.stat().st_size))

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        act(case.files[0])
        files.read(case.files[0])
        words = case.files[0].read_text().split()
        if words[0] == "bands" and request.hold_pixels is not None:
            return ReadResult((), ("left open",), (FakeBands(words, 1), FakeBands(words, -1)))
        pixels = known_pixels()
        if "one channel" in case.files[0].read_text():
            pixels = pixels[:, :1] + np.int16(case.files[0].name[-1:])
        geometry = Geometry(spacing=(0.1, 1 / 3), positions=((0.0, 0.5, 1 / 7),) * 3)
        first = Image(pixels, geometry, pixels[:, 0] > 0, {"note": [1, "two"]})
        second = Image(pixels[:, :, ::2, ::-1].astype(">f8"))  # neither contiguous nor of native byte order
        return ReadResult((first, second), (f"wanted {request.channels}",))

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        raise NotImplementedError

    def read_labels(self, path: Path, max_pixels: int = 0) -> tuple[LabelMap, ...]:
        act(path)
        return (LabelMap(np.arange(6, dtype=np.uint16).reshape(1, 2, 3) + 65000),)


class FakeFormat(FileFormat):
    name = "fake"

    def recognises(self, head: bytes) -> bool:
        return False

    def mask_name(self, name: str) -> str:
        return name + ".mask"

    def details_of_file(self, value: Json) -> Details:
        return Size(**value)

    def codec(self) -> Codec:
        return FakeCodec()


FORMAT = FakeFormat()


def files(folder: Path, *words: str) -> list[Path]:
    paths = [folder / f"{number:04}" for number in range(len(words))]
    for path, word in zip(paths, words, strict=True):
        path.write_text(word)
    return paths


def case(*paths: Path) -> Case:
    return Case("0123456789ab", "fake", "a", PurePosixPath("a"), paths)


def texts(answers: Iterator[tuple[Path, Described]]) -> list[str]:
    return [str(answer) if isinstance(answer, Exception) else "described" for _, answer in answers]


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
