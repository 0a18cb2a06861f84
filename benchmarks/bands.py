"""Peak memory and time of a threshold over TIFFs of growing height, read in bands and held whole.

``python benchmarks/bands.py`` makes tiled TIFFs of 1, 2 and 4 times ``--height`` rows below ``--folder``, runs each way
over each of them in a process of its own, and prints a table. The readers' memory is that of the largest one. With
``--largest`` it also makes one image of 40,000 x 40,000 pixels and runs it in bands only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segcli.case import Case
from segcli.contract import Label, ModelCard
from segcli.formats.atomic import Target, write_mask
from segcli.formats.interface import HOLD_PIXELS, MaskRequest, ReadRequest
from segcli.formats.mask_sink import open_sink
from segcli.formats.readers import Readers
from segcli.image import LabelMap
from segcli.settings import PredictSettings

THRESHOLD = 128
BAND = 512
CARD = ModelCard(
    "none", "threshold", "1", "CC0", 2, ("grey",), (Label(1, "one", (255, 0, 0)),), (64, 64), (0, 0), (0, 0)
)
REQUEST = MaskRequest(CARD, PredictSettings(), "0")


def make(path: Path, rows: int, columns: int) -> None:
    """Noise over a gradient, tile by tile, so that the image is never in memory."""
    noise = np.random.default_rng(0).integers(0, 64, (256, 256)).astype(np.uint8)
    down, across = -(-rows // 256), -(-columns // 256)

    def tiles() -> Iterator[NDArray[Any]]:
        for row in range(down):
            for column in range(across):
                yield noise + np.uint8((row * 7 + column * 3) % 192)

    tifffile.imwrite(
        path,
        tiles(),
        shape=(rows, columns),
        dtype=np.uint8,
        tile=(256, 256),
        compression="zlib",
        buffersize=2**23,
        photometric="minisblack",
        bigtiff=True,
        metadata=None,
    )


def one(path: Path, way: str) -> None:
    """Read, threshold, write; print megabytes of this process and of its largest reader, and seconds."""
    output = path.parent / f"out-{way}"
    case = Case("0" * 12, "tiff", path.name, PurePosixPath(path.name), (path,))
    hold = HOLD_PIXELS if way == "bands" else None
    start = time.perf_counter()
    with Readers(1) as readers:
        request = ReadRequest(channels=("grey",), max_pixels=2**62, hold_pixels=hold)
        delivery = readers.submit_read(case, request).result()
        target = Target(output / path.name, output)
        if delivery.banded:
            with open_sink(target, case, delivery.parts, REQUEST) as sink:
                for part, mask in zip(delivery.parts, sink.parts, strict=True):
                    for slice_index in range(part.shape[0]):
                        for row in range(0, part.shape[2], BAND):
                            band = part.read(slice_index, row, min(row + BAND, part.shape[2]))
                            mask.write(slice_index, row, (band[0] > THRESHOLD).astype(np.uint8))
                sink.finish()
            delivery.close()
        else:
            masks = []
            for part in delivery.parts:
                pixels = np.stack([part.read(index, 0, part.shape[2])[0] for index in range(part.shape[0])])
                masks.append(LabelMap((pixels > THRESHOLD).astype(np.uint8), part.geometry, part.extra))
            write_mask(target, case, masks, REQUEST)
    seconds = time.perf_counter() - start
    own, readers_ = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({"main": round(own), "reader": round(readers_), "seconds": round(seconds, 1)}))


def measured(path: Path, way: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", str(path), "--way", way]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def table(folder: Path, height: int, width: int, largest: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'rows x columns':>16} {'way':>8} {'main MB':>8} {'reader MB':>10} {'seconds':>8}")
    sizes = [(factor * height, width, ("bands", "whole")) for factor in (1, 2, 4)]
    if largest:
        sizes.append((40_000, 40_000, ("bands",)))
    for rows, columns, ways in sizes:
        path = folder / f"{rows}x{columns}.tif"
        if not path.exists():
            make(path, rows, columns)
        for way in ways:
            found = measured(path, way)
            size = f"{rows} x {columns}"
            print(f"{size:>16} {way:>8} {found['main']:>8} {found['reader']:>10} {found['seconds']:>8}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("bands-benchmark"))
    parser.add_argument("--height", type=int, default=8192)
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("bands", "whole"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        one(options.one, options.way)
    else:
        table(options.folder, options.height, options.width, options.largest)


if __name__ == "__main__":
    main()
