"""What every format keeps to; the checks of test_every_format.py, and of the example in docs/adding-a-format.md."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from segcli.case import Case
from segcli.contract import Code, Label, ModelCard
from segcli.errors import SegcliError, UnsupportedError
from segcli.formats.file_format import FileFormat
from segcli.formats.interface import (
    DescribedFile,
    Description,
    ElementRequest,
    Format,
    GroupRequest,
    InputFiles,
    MaskRequest,
    ReadRequest,
    ReadResult,
)
from segcli.formats.messages import description_from_json, description_to_json
from segcli.formats.table import HEAD
from segcli.formats.walk import walk
from segcli.formats.wire import plain
from segcli.image import Image, LabelMap
from segcli.settings import PredictSettings

TISSUE = Code("SCT", "85756007", "Tissue")
LABELS = (Label(1, "one", (255, 0, 0), TISSUE, TISSUE), Label(2, "two", (0, 255, 0), TISSUE, TISSUE))
CARD = ModelCard("none", "test", "1", "CC0-1.0", 2, ("grey",), LABELS, (8, 8), (2, 2), (0, 0))
REQUEST = MaskRequest(CARD, PredictSettings(), "0")
GREY = ReadRequest(channels=("grey",))

HEAVY = {"SimpleITK", "pydicom", "highdicom", "tifffile", "imagecodecs", "simplejpeg", "PIL", "nibabel", "torch"}


def mask_of(image: Image) -> LabelMap:
    """Labels 0, 1, 2 in a pattern without symmetry."""
    slices, _, rows, columns = image.shape
    z, y, x = np.ogrid[:slices, :rows, :columns]
    return LabelMap(((x // 2 + 2 * (y // 3) + z) % 3).astype(np.uint8), image.geometry, image.extra)


def described(source: Format, folder: Path) -> list[DescribedFile]:
    """All files of the folder, as the main process gets them from a reader process."""
    found = []
    for file in walk([folder]).files:
        description = source.describe(file.path, source.keywords(ElementRequest()))
        arrived = description_from_json(plain(description_to_json(description)), source)
        assert arrived == description
        found.append(DescribedFile(file, arrived))
    return found


def read(source: Format, folder: Path, request: ReadRequest = GREY) -> tuple[Case, ReadResult]:
    """The one case that all files of the folder are."""
    grouped = source.group(described(source, folder), GroupRequest(b"key"))
    assert not grouped.left_out
    (case,) = grouped.cases
    copy = Case.from_json(plain(case.to_json()), source.details_of_case)  # as a reader process gets it
    return case, source.read(copy, request, InputFiles(copy.files))


def check_recognition(source: Format, folder: Path, formats: Sequence[Format]) -> None:
    """Its files are recognised by it and by no other format, and no bytes at all make it raise."""
    for file in walk([folder]).files:
        head = file.path.read_bytes()[:HEAD]
        assert [other.name for other in formats if other.recognises(head)] == [source.name]
    draw = np.random.default_rng(0)
    for size in (0, 1, 3, 4, 20, 131, HEAD):
        assert not source.recognises(draw.bytes(size))


def check_lightness(place: str) -> None:
    """The object imports no library that decodes: the main process asks every format about every file."""
    module, _, attribute = place.partition(":")
    code = (
        f"import sys, {module} as module\nmodule.{attribute}.recognises(b'x' * {HEAD})\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def check_case(source: Format, folder: Path) -> None:
    """Its files are one case, whose mask lies below the output folder, and whose shape is that of what is read."""
    case, result = read(source, folder)
    assert case.format == source.name
    assert sorted(case.files) == sorted(file.path for file in walk([folder]).files)
    assert len(case.id) == 12 and set(case.id) <= set("0123456789abcdef")
    assert not case.output.is_absolute() and ".." not in case.output.parts
    assert case.shape is not None
    assert {part.shape[2:] for part in result.parts} == {case.shape[1:]}
    assert sum(part.shape[0] for part in result.parts) == case.shape[0]
    if isinstance(source, FileFormat):
        name = case.files[0].name
        assert source.mask_name(name).startswith(name)
        assert source.mask_name(source.mask_name(name)) == source.mask_name(name) or name.endswith(".jpg")


def check_masks(source: Format, folder: Path, out: Path) -> None:
    """Masks read back as they were written, equal masks are equal bytes, and one changed label does not pass."""
    case, result = read(source, folder)
    masks = [mask_of(part) for part in result.parts]
    out.mkdir()
    targets = [out / f"{number}{''.join(PurePosixPath(case.output.name).suffixes)}" for number in range(2)]
    for target in targets:
        source.write(target, case, masks, REQUEST)
    assert targets[0].read_bytes() == targets[1].read_bytes()
    assert source.verify(targets[0], case, masks, REQUEST)
    pixels = masks[-1].pixels.copy()
    pixels[-1, -1, -1] = (pixels[-1, -1, -1] + 1) % 3
    assert not source.verify(targets[0], case, [*masks[:-1], replace(masks[-1], pixels=pixels)], REQUEST)
    found = np.concatenate([part.pixels for part in source.read_labels(targets[0])])
    assert found.dtype in (np.uint8, np.uint16)
    assert np.array_equal(found, np.concatenate([mask.pixels for mask in masks]))


def check_bands(source: Format, folder: Path, out: Path) -> None:
    """Masks written band by band are those written whole; a format that refuses to leaves no image open."""
    case, result = read(source, folder)
    masks = [mask_of(part) for part in result.parts]
    out.mkdir()
    target = out / case.output.name
    try:
        stream = source.open_stream(target, result.parts, np.dtype(np.uint8))
    except UnsupportedError:
        assert not read(source, folder, replace(GREY, hold_pixels=0))[1].bands
        with pytest.raises(UnsupportedError):
            source.open_labels(target)
        return
    for mask in masks:
        for plane in mask.pixels:
            for row in range(0, len(plane), 7):
                stream.write(plane[row : row + 7])
    stream.finish()
    stream.abort()
    assert source.verify(target, case, masks, REQUEST)
    with source.open_labels(target) as parts:
        for part, mask in zip(parts, masks, strict=True):
            rows = [part.read(index, 0, plane.shape[0])[0] for index, plane in enumerate(mask.pixels)]
            assert np.array_equal(rows, mask.pixels)


def check_limits(source: Format, folder: Path) -> None:
    """No more pixels are held than the user allows."""
    with pytest.raises(UnsupportedError, match="--max-pixels"):
        read(source, folder, replace(GREY, max_pixels=10))


def check_damage(source: Format, folder: Path) -> None:
    """Whatever the bytes are, there is a description, or labels, or one error of ours in one line."""
    path = walk([folder]).files[0].path
    intact = path.read_bytes()
    draw = np.random.default_rng(0)
    attempts: tuple[Callable[[Path], object], ...] = (source.describe, source.read_labels)
    for _ in range(40):
        data = bytearray(intact[: draw.integers(len(intact))] if draw.random() < 0.5 else intact)
        for place in draw.integers(0, max(1, len(data)), 4) if data else ():
            data[place] = draw.integers(256)
        path.write_bytes(data)
        for attempt in attempts:
            try:
                with warnings.catch_warnings(action="ignore"):
                    found = attempt(path)
            except SegcliError as error:
                assert str(error).isprintable() and str(error)
            else:
                assert isinstance(found, Description | tuple)
    path.write_bytes(intact)
