"""A mask written in bands is the file that the whole mask would have been, verified, or nothing at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from plain_files import case_of, mask_request, read, scene

from segcli.contract import Label
from segcli.errors import OutputExistsError, UnsupportedError, WriteError
from segcli.formats.atomic import Target, is_disk_full, write_mask
from segcli.formats.mask_sink import MaskSink, open_sink
from segcli.formats.png import FORMAT as PNG
from segcli.formats.tiff import FORMAT
from segcli.formats.tiff import stream as tiff_stream
from segcli.image import Image, LabelMap

REQUEST = mask_request()
STACK = np.stack([scene(300, 270, seed=s) for s in range(3)])


def plain(path: Path) -> None:
    tifffile.imwrite(path, STACK, photometric="minisblack", resolution=((300, 1), (150, 1)), resolutionunit=3)


def two_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for pixels in (*STACK, STACK[0, :150, :135]):
            writer.write(pixels, metadata=None, photometric="minisblack")


def ome(path: Path) -> None:
    pixels = np.stack([STACK, STACK[::-1]])
    metadata = {"axes": "TZYX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 3.0, "PhysicalSizeXUnit": "mm"}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)


def imagej(path: Path) -> None:
    metadata = {"axes": "TZYX", "unit": "mm", "spacing": 5.0}
    tifffile.imwrite(path, np.stack([STACK, STACK[::-1]]), imagej=True, metadata=metadata)


MAKERS = {"plain": plain, "two sizes": two_sizes, "ome": ome, "imagej": imagej}


def labels_of(part: Image) -> NDArray[Any]:
    """Labels 0, 1, 2 ``[slice, row, column]``."""
    return (part.pixels[:, 0] // 100).astype(np.uint8)


def source(folder: Path, maker: Any = plain) -> tuple[Image, ...]:
    path = folder / "in" / "a.tif"
    path.parent.mkdir(exist_ok=True)
    maker(path)
    return read(FORMAT, path).parts


def target(folder: Path, **options: Any) -> Target:
    return Target(folder / "out/deep/a.tif", folder / "out", "t", **options)


def sink_of(folder: Path, parts: tuple[Image, ...], request: Any = REQUEST, **options: Any) -> MaskSink:
    return open_sink(target(folder, **options), case_of(FORMAT, folder / "in/a.tif"), parts, request)


def write_bands(sink: MaskSink, parts: tuple[Image, ...]) -> None:
    """In order, of any height."""
    rng = np.random.default_rng(0)
    for number, part in enumerate(parts):
        for slice_index, plane in enumerate(labels_of(part)):
            start = 0
            while start < len(plane):
                stop = start + int(rng.integers(1, 120))
                sink.write(number, slice_index, start, plane[start:stop])
                start = min(stop, len(plane))


def files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", MAKERS)
def test_bands_make_the_file_that_the_whole_mask_makes(kind: str, tmp_path: Path) -> None:
    parts = source(tmp_path, MAKERS[kind])
    sink = sink_of(tmp_path, parts)
    write_bands(sink, parts)
    written = sink.finish()
    data = target(tmp_path).path.read_bytes()
    assert written.size == len(data)
    labels = [labels_of(part) for part in parts]
    for found, expected in zip(FORMAT.read_labels(target(tmp_path).path), labels, strict=True):
        assert np.array_equal(found.pixels, expected)
    whole = [LabelMap(pixels, part.geometry, part.extra) for pixels, part in zip(labels, parts, strict=True)]
    assert write_mask(target(tmp_path), case_of(FORMAT, tmp_path / "in/a.tif"), whole, REQUEST) == written
    assert target(tmp_path).path.read_bytes() == data
    assert files(tmp_path) == ["a.tif"]
    with tifffile.TiffFile(target(tmp_path).path) as tif:
        pages = [page.asarray() for page in tif.pages]
        assert all(page.is_tiled and page.compression == 8 for page in tif.pages)
    for found, expected in zip(pages, (plane for planes in labels for plane in planes), strict=True):
        assert np.array_equal(found, expected)


def test_labels_above_255_and_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segcli.formats.tiff.write.BIG", 1000)
    parts = source(tmp_path)
    with sink_of(tmp_path, parts, mask_request(Label(300, "three hundred", (255, 0, 0)))) as sink:
        for slice_index in range(3):
            sink.write(0, slice_index, 0, np.full((300, 270), 300, np.uint16))
        sink.finish()
    found = tifffile.imread(target(tmp_path).path)
    assert found.dtype == np.uint16 and (found == 300).all()
    assert target(tmp_path).path.read_bytes()[:4] == b"II\x2b\0"


def test_a_mask_given_up_leaves_nothing(tmp_path: Path) -> None:
    parts = source(tmp_path)
    with sink_of(tmp_path, parts) as sink:
        sink.write(0, 0, 0, labels_of(parts[0])[0])
        assert len(files(tmp_path)) == 1
    assert files(tmp_path) == []
    sink.abort()


@pytest.mark.parametrize("spoilt", ["early", "late"])
def test_a_full_disk_is_told_as_such(spoilt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(target: Path, parts: Any, dtype: Any, blocks: Iterator[Any]) -> None:
        for _ in range(1 if spoilt == "early" else 6):
            next(blocks)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(tiff_stream, "write_blocks", full)
    parts = source(tmp_path)
    sink = sink_of(tmp_path, parts)
    with pytest.raises(WriteError, match="disk of the output folder is full") as told:
        write_bands(sink, parts)
        sink.finish()
    assert is_disk_full(told.value)
    sink.abort()
    assert files(tmp_path) == []


def test_a_mask_spoilt_on_its_way_never_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tiff_stream.write_blocks

    def spoiling(target: Path, parts: Any, dtype: Any, blocks: Iterator[Any]) -> None:
        def spoilt() -> Iterator[Any]:
            for number, block in enumerate(blocks):
                block[-1, -1] ^= number == 5
                yield block

        real(target, parts, dtype, spoilt())

    monkeypatch.setattr(tiff_stream, "write_blocks", spoiling)
    parts = source(tmp_path)
    sink = sink_of(tmp_path, parts)
    write_bands(sink, parts)
    with pytest.raises(WriteError, match="did not read back"):
        sink.finish()
    assert files(tmp_path) == []


def test_a_disk_that_takes_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_: Any) -> None:
        released.wait(20)

    released = tiff_stream.threading.Event()
    monkeypatch.setattr(tiff_stream, "write_blocks", stuck)
    monkeypatch.setattr(tiff_stream, "STALLED", 0.3)
    parts = source(tmp_path)
    sink = sink_of(tmp_path, parts)
    with pytest.raises(WriteError):
        write_bands(sink, parts)
    sink.abort()
    released.set()
    assert files(tmp_path) == []


def test_a_strangers_file_stays(tmp_path: Path) -> None:
    parts = source(tmp_path)
    target(tmp_path).path.parent.mkdir(parents=True)
    target(tmp_path).path.write_bytes(b"stranger")
    sink = sink_of(tmp_path, parts, may_replace=False)
    write_bands(sink, parts)
    with pytest.raises(OutputExistsError):
        sink.finish()
    assert target(tmp_path).path.read_bytes() == b"stranger"


def test_rows_out_of_their_turn_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    parts = source(tmp_path)
    rows = np.zeros((10, 270), np.uint8)
    with sink_of(tmp_path, parts) as sink:
        sink.write(0, 0, 0, rows)
        for slice_index, row, labels in ((0, 0, rows), (1, 0, rows), (0, 10, rows[:, :9]), (0, 10, STACK[0])):
            with pytest.raises(ValueError, match=r"rows at|labels of shape"):
                sink.write(0, slice_index, row, labels)
        with pytest.raises(TypeError):
            sink.write(0, 0, 10, rows.astype(np.uint16))
        with pytest.raises(ValueError, match="ends at"):
            sink.finish()
    assert files(tmp_path) == []


def test_a_private_mask_is_private(tmp_path: Path) -> None:
    parts = source(tmp_path)
    with sink_of(tmp_path, parts, mask_request(private=True)) as sink:
        write_bands(sink, parts)
        sink.finish()
    assert target(tmp_path).path.stat().st_mode & 0o777 == 0o600


def test_formats_that_are_written_whole_say_so(tmp_path: Path) -> None:
    case = replace(case_of(PNG, tmp_path / "a.png"), format="png")
    with pytest.raises(UnsupportedError, match="png cannot be written in bands"):
        open_sink(target(tmp_path), case, source(tmp_path), REQUEST)
