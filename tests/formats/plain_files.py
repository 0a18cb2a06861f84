"""The way of the tests through a plain file format: read, threshold at the oracle's median, write, read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segcli.case import Case
from segcli.contract import Label, ModelCard
from segcli.errors import SegcliError
from segcli.formats.interface import InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.image import LabelMap
from segcli.settings import PredictSettings

COLORS = (Label(1, "one", (255, 170, 0)), Label(2, "two", (0, 80, 255)))


def card(*labels: Label) -> ModelCard:
    return ModelCard("p", "m", "1", "CC0", 2, ("c",), labels or COLORS, (64, 64), (16, 16), (0, 0))


def mask_request(*labels: Label, **settings: Any) -> MaskRequest:
    return MaskRequest(card(*labels), PredictSettings(**settings), "0.1")


def case_of(format_: Any, path: Path, *more: Path) -> Case:
    output = PurePosixPath(format_.mask_name(path.name))
    return Case("0" * 12, format_.name, path.name, output, (path, *more))


def read(format_: Any, path: Path, beside: tuple[Path, ...] = (), **request: Any) -> ReadResult:
    case = case_of(format_, path, *beside)
    result: ReadResult = format_.read(case, ReadRequest(**request), InputFiles(case.files))
    return result


def pillow(path: Path, mode: str | None = None) -> tuple[str, NDArray[Any]]:
    """(mode of the file, its pixels converted to ``mode``) as Pillow has them."""
    with Pillow.open(path) as image:
        return image.mode, np.asarray(image if mode is None else image.convert(mode))


@dataclass(frozen=True)
class Segmented:
    result: ReadResult
    masks: list[LabelMap]
    path: Path


def segment(
    format_: Any, path: Path, threshold: float, request: MaskRequest | None = None, **reading: Any
) -> Segmented:
    """Threshold network on the first channel; the mask stands beside the image and reads back as it was given."""
    result = read(format_, path, **reading)
    masks = []
    for part in result.parts:
        above = part.pixels[:, 0] > threshold
        if part.valid is not None:
            above &= part.valid
        masks.append(LabelMap(above.astype(np.uint8), part.geometry, part.extra))
    target = path.parent / (path.name + ".mask.part")
    case = case_of(format_, path)
    format_.write(target, case, masks, request or mask_request())
    final = path.parent / ("mask_" + case.output.name)
    target.rename(final)
    back = format_.read_labels(final)
    assert len(back) == len(masks)
    for given, found in zip(masks, back, strict=True):
        assert np.array_equal(found.pixels, given.pixels)
        assert found.pixels.dtype in (np.uint8, np.uint16)
    return Segmented(result, masks, final)


def scene(rows: int = 37, columns: int = 53, top: int = 255, dtype: Any = np.uint8, seed: int = 0) -> NDArray[Any]:
    """A smooth picture with noise over the whole range 0 to ``top``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    values = np.sin(x / 7) + np.cos(y / 5) + rng.random((rows, columns))
    values = (values - values.min()) / np.ptp(values)
    if np.dtype(dtype).kind == "f":
        return (values * top).astype(dtype)
    return np.floor(values * (top + 0.999)).astype(dtype)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, overwrite, cut or double bytes."""
    kind = rng.integers(5)
    out = bytearray(data)
    if kind == 0:
        return bytes(out[: rng.integers(len(out))])
    if kind == 1:
        at = int(rng.integers(len(out)))
        return bytes(out[:at] + out[at : at + int(rng.integers(1, 40))] + out[at:])
    span = len(out) if kind == 2 else min(len(out), 400)
    for _ in range(int(rng.integers(1, 8))):
        at = int(rng.integers(span))
        out[at] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return bytes(out)


def survives(format_: Any, data: bytes, folder: Path) -> str:
    """What reading these bytes comes to; anything but an image or one clear line is an error of the test."""
    path = folder / "hostile.bin"
    path.write_bytes(data)
    for attempt in (lambda: format_.describe(path), lambda: format_.read_labels(path)):
        try:
            attempt()
        except SegcliError as error:
            assert_one_line(error)
    try:
        read(format_, path, max_pixels=1_000_000)
    except SegcliError as error:
        assert_one_line(error)
        return type(error).__name__
    return "read"


def assert_one_line(error: SegcliError) -> None:
    text = str(error)
    assert text, "an error says what is wrong"
    assert "\n" not in text
    assert "hostile" not in text, "the caller adds the name"
    assert len(text) < 200
