"""How fast DICOM is scanned, read and decoded, against plain pydicom and SimpleITK on the same files.

``python benchmarks/dicom_reading.py [--slices 100] [--rounds 7]`` makes CT series of 512 x 512 pixels in a temporary
folder and prints medians of runs taken in turns. Wall time decides; CPU time is shown because other programs on the
machine disturb it less. All run warm, in one process; "read and hashed" is every input byte through SHA-256 once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 - as everybody calls it
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from segcli.formats.dicom import parallel
from segcli.formats.dicom.format import FORMAT
from segcli.formats.dicom.grouping import SeriesRequest, group
from segcli.formats.dicom.instance import describe_instance
from segcli.formats.interface import InputFiles, ReadRequest

SIDE = 512


def _run_lengths(values: NDArray[Any]) -> bytes:
    return bytes(
        RLELosslessEncoder.encode(
            values.astype("<u2").tobytes(),
            rows=SIDE,
            columns=SIDE,
            samples_per_pixel=1,
            bits_allocated=16,
            bits_stored=16,
            pixel_representation=0,
            number_of_frames=1,
            photometric_interpretation="MONOCHROME2",
            encoding_plugin="pydicom",
        )
    )


ENCODERS: dict[str, tuple[UID, Callable[[NDArray[Any]], bytes]]] = {
    "RLE": (RLELossless, _run_lengths),
    "JPEG lossless": (JPEGLosslessSV1, lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12)),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, level=0),
    ),
}


def series(folder: Path, slices: int, syntax: UID | None, encode: Callable[[NDArray[Any]], bytes] | None) -> Path:
    """A CT series: the header of a real scanner's file, pixels with edges and noise."""
    folder.mkdir()
    image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    image.Rows = image.Columns = SIDE
    image.PixelRepresentation, image.BitsStored, image.HighBit = 0, 12, 11
    del image.PixelPaddingValue
    for number in range(slices):
        body = 1000 * (np.hypot(x - 256, y - 240 + number) < 180) + 300 * (np.hypot(x - 300, y - 256) < 60)
        values = (body + random.normal(100, 12, (SIDE, SIDE))).clip(0, 4095).astype(np.uint16)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number + 1}")
        image.ImagePositionPatient, image.InstanceNumber = [0, 0, number], number + 1
        if syntax is None or encode is None:
            image.PixelData = values.tobytes()
        else:
            image.PixelData = encapsulate([bytes(encode(values))])
            image["PixelData"].VR = "OB"
            image.file_meta.TransferSyntaxUID = syntax
        image.save_as(folder / f"{number:03d}.dcm")
    return folder


def by_pydicom(files: list[Path]) -> NDArray[Any]:
    """``dcmread`` and ``np.frombuffer`` into one volume, SHA-256 of each file."""
    volume = np.empty((len(files), SIDE, SIDE), np.uint16)
    for number, path in enumerate(files):
        hashlib.sha256(path.read_bytes()).digest()
        volume[number] = np.frombuffer(pydicom.dcmread(path).PixelData, "<u2").reshape(SIDE, SIDE)
    return volume


def by_pydicom_decoders(files: list[Path]) -> NDArray[Any]:
    """``pixel_array`` of each file, with whatever decoder pydicom finds."""
    for path in files:
        hashlib.sha256(path.read_bytes()).digest()
    return np.stack([pydicom.dcmread(path).pixel_array for path in files])


def by_simpleitk(files: list[Path]) -> NDArray[Any]:
    """Its series reader, which rescales, with the order asked of it."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[0].parent)))
    return sitk.GetArrayViewFromImage(reader.Execute()).copy()


class Ours:
    """segcli's scan and reader, as a reader process runs them."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        records = [(path, describe_instance(path)) for path in files]
        (self.case,), _ = group(records, SeriesRequest(lambda path: PurePosixPath(path.name)))

    def scan(self) -> None:
        for path in self.files:
            describe_instance(path)

    def read(self) -> NDArray[Any]:
        files = InputFiles(self.case.files)
        pixels = FORMAT.read(self.case, ReadRequest(), files).parts[0].pixels
        files.digest()
        return pixels

    def read_on_one_core(self) -> NDArray[Any]:
        cores, parallel.cores = parallel.cores, lambda: 1
        try:
            return self.read()
        finally:
            parallel.cores = cores


def headers_by_pydicom(files: list[Path]) -> None:
    """Every element before the pixels."""
    for path in files:
        pydicom.dcmread(path, stop_before_pixels=True)


def in_turns(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median wall and CPU seconds of each; one round to warm up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            if number:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(w for w, _ in each), statistics.median(c for _, c in each))
        for name, each in times.items()
    }


def show(title: str, found: dict[str, tuple[float, float]], base: str, count: int) -> None:
    print(f"\n{title:<46}{'ms/file':>9}{'CPU ms':>9}{'×':>7}{'× CPU':>7}")
    for name, (wall, cpu) in found.items():
        ratios = wall / found[base][0], cpu / found[base][1]
        print(f"{name:<46}{wall / count * 1e3:>9.2f}{cpu / count * 1e3:>9.2f}{ratios[0]:>7.2f}{ratios[1]:>7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    versions = f"pydicom {pydicom.__version__}, imagecodecs {imagecodecs.__version__}, SimpleITK {sitk.__version__}"
    print(f"{parallel.cores()}-core {platform.machine()} CPU, load {os.getloadavg()[0]:.1f}; {versions}")
    elements = len(pydicom.dcmread(get_testdata_file("CT_small.dcm"), stop_before_pixels=True))
    print(f"the header is that of pydicom's CT_small.dcm, {elements} elements")
    print(f"CT {options.slices} x {SIDE} x {SIDE}, warm cache, medians of {options.rounds} rounds taken in turns")
    with tempfile.TemporaryDirectory() as place:
        files = sorted(series(Path(place) / "native", options.slices, None, None).iterdir())
        ours = Ours(files)
        offset = int(pydicom.dcmread(files[0]).RescaleIntercept)
        if not np.array_equal(ours.read()[:, 0], by_pydicom(files).astype(int) + offset):
            raise SystemExit("segcli and pydicom read different pixels")
        scans = {"pydicom, whole header": lambda: headers_by_pydicom(files), "segcli scan": ours.scan}
        show("header scan", in_turns(scans, options.rounds), "pydicom, whole header", len(files))
        reads = {
            "pydicom dcmread + frombuffer + sha256": lambda: by_pydicom(files),
            "SimpleITK series reader (no hash)": lambda: by_simpleitk(files),
            "segcli read and hashed": ours.read,
        }
        show("native", in_turns(reads, options.rounds), "pydicom dcmread + frombuffer + sha256", len(files))
        fewer, rounds = max(8, options.slices // 5), max(3, options.rounds // 2)
        for name, (syntax, encode) in ENCODERS.items():
            files = sorted(series(Path(place) / name, fewer, syntax, encode).iterdir())
            compressed = Ours(files)
            decodes: dict[str, Callable[[], Any]] = {
                "segcli on one core": compressed.read_on_one_core,
                "segcli on all cores": compressed.read,
                "SimpleITK series reader (no hash)": lambda files=files: by_simpleitk(files),
            }
            if get_decoder(syntax).is_available:
                decodes["pydicom pixel_array"] = lambda files=files: by_pydicom_decoders(files)
            show(name, in_turns(decodes, rounds), "segcli on one core", fewer)


if __name__ == "__main__":
    main()
