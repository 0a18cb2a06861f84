"""Thousands of damaged files of every plain format through the readers: what becomes of them, and how many crashed.

``python benchmarks/fuzz.py --count 2000`` damages ``--count`` files of each format with a fixed ``--seed``, and prints
for each format how many were read, refused by which error, and how many readers died of them. Every message must be one
line, and after each format a sound file must still be read; otherwise the program ends with an error.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813
import tifffile
from PIL import Image as Pillow

from segcli.case import Case
from segcli.errors import SegcliError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers

PIXELS = np.random.default_rng(0).integers(0, 200, (64, 48)).astype(np.uint8)
VOLUME = np.random.default_rng(1).integers(-1000, 1000, (4, 32, 24)).astype(np.int16)
BATCH = 64
LIMIT = 20.0


def tiffs() -> list[bytes]:
    options: list[dict[str, Any]] = [
        {},
        {"tile": (16, 16), "compression": "zlib", "predictor": 2},
        {"rowsperstrip": 8, "compression": "lzw", "bigtiff": True, "byteorder": ">"},
        *({"tile": (32, 32), "compression": name} for name in ("jpeg", "zstd", "lzma", "lerc", "jpeg2000", "packbits")),
        {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 2.0}},
        {"imagej": True, "metadata": {"axes": "YX", "unit": "mm"}},
    ]
    found = []
    for option in options:
        out = io.BytesIO()
        tifffile.imwrite(out, PIXELS, photometric="minisblack", **option)
        found.append(out.getvalue())
    return found


def jpegs() -> list[bytes]:
    found = []
    for options in ({}, {"progressive": True}):
        out = io.BytesIO()
        Pillow.fromarray(PIXELS).save(out, "JPEG", **options)
        found.append(out.getvalue())
    return found


def itk(suffix: str, folder: Path) -> list[bytes]:
    found = []
    for compressed in (False, True):
        path = folder / f"seed{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path), useCompression=compressed)
        found.append(path.read_bytes())
    return found


def niftis(folder: Path) -> list[bytes]:
    found = []
    for kind, name in (
        (nibabel.Nifti1Image, "a.nii"),
        (nibabel.Nifti2Image, "b.nii"),
        (nibabel.Nifti1Image, "c.nii.gz"),
    ):
        kind(VOLUME.T, np.diag([1, 2, 3, 1])).to_filename(folder / name)
        found.append((folder / name).read_bytes())
    return found


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, with a stretch twice, or with a few bytes changed (half of the time in the header)."""
    out = bytearray(data)
    kind = rng.integers(5)
    at = int(rng.integers(len(out)))
    if kind == 0:
        return bytes(out[:at])
    if kind == 1:
        return bytes(out[:at] + out[at : at + int(rng.integers(1, 40))] + out[at:])
    span = len(out) if kind == 2 else min(len(out), 400)
    for _ in range(int(rng.integers(1, 8))):
        out[int(rng.integers(span))] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return bytes(out)


def attack(name: str, seeds: list[bytes], count: int, seed: int, folder: Path) -> Mapping[str, int]:
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    with Readers(2) as readers:
        for start in range(0, count, BATCH):
            paths = [folder / f"hostile{number}" for number in range(min(BATCH, count - start))]
            for number, path in enumerate(paths):
                path.write_bytes(damaged(seeds[(start + number) % len(seeds)], rng))
            for _, described in readers.describe(name, paths):
                if isinstance(described, SegcliError):
                    check(described)
            hold = 100 if start % (2 * BATCH) else None
            request = ReadRequest(max_pixels=1_000_000, hold_pixels=hold)
            waiting = [readers.submit_read(case(name, path), request, LIMIT) for path in paths]
            for future in waiting:
                try:
                    delivery = future.result(10 * LIMIT)
                    for part in delivery.parts:
                        part.read(0, 0, part.shape[2])
                    delivery.close()
                    outcomes["read in bands" if delivery.banded else "read"] += 1
                except SegcliError as error:
                    check(error)
                    outcomes["crashed" if "crashed" in str(error) else type(error).__name__] += 1
        (folder / "sound").write_bytes(seeds[0])
        readers.submit_read(case(name, folder / "sound"), ReadRequest(), LIMIT).result(10 * LIMIT)
    return outcomes


def case(name: str, path: Path) -> Case:
    return Case("0" * 12, name, path.name, PurePosixPath(path.name), (path,))


def check(error: SegcliError) -> None:
    text = str(error)
    if not text or "\n" in text or "hostile" in text or len(text) > 250:
        raise AssertionError(f"no clear line: {text!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = {
            "png": [bytes(imagecodecs.png_encode(PIXELS)), bytes(imagecodecs.apng_encode(np.stack([PIXELS, PIXELS])))],
            "jpeg": jpegs(),
            "tiff": tiffs(),
            "nifti": niftis(folder),
            "nrrd": itk(".nrrd", folder),
            "mha": itk(".mha", folder),
        }
        for kind, files in seeds.items():
            found = attack(kind, files, options.count, options.seed, folder)
            print(f"{kind:>6}: " + ", ".join(f"{count} {word}" for word, count in sorted(found.items())), flush=True)


if __name__ == "__main__":
    main()
