"""Damaged TIFFs read in bands: pixels of the stated shape, or one clear line."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from plain_files import assert_one_line, case_of, mutate
from test_tiff_bands import VARIANTS

from segcli.errors import SegcliError
from segcli.formats.interface import InputFiles, ReadRequest
from segcli.formats.tiff import FORMAT


def test_fuzz(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    seeds = [data for data, _ in VARIANTS.values()]
    found = {bands_survive(mutate(seeds[i % len(seeds)], rng), tmp_path) for i in range(200)}
    assert {"read", "UnreadableError"} <= found


def bands_survive(data: bytes, folder: Path) -> str:
    """What reading all bands comes to: pixels, or one clear line."""
    (folder / "hostile.tif").write_bytes(data)
    case = case_of(FORMAT, folder / "hostile.tif")
    request = ReadRequest(hold_pixels=100, max_pixels=1_000_000)
    with ExitStack() as opened:
        try:
            for part in FORMAT.read(case, request, InputFiles(case.files)).bands:
                opened.callback(part.close)
                slices, channels, rows, columns = part.shape
                for slice_index in range(slices):
                    for row in range(0, rows, 16):
                        stop = min(row + 16, rows)
                        assert part.read(slice_index, row, stop).shape == (channels, stop - row, columns)
        except SegcliError as error:
            assert_one_line(error)
            return type(error).__name__
    return "read"
