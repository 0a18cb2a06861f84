"""Compressed DICOM images with damaged streams: how many of them end as ``done``, and with which pixels.

``python benchmarks/damaged_streams.py`` takes the CT image that pydicom ships, packs it by every codec, changes bytes
at ``--places`` random places of the stream ``--files`` times and runs ``segcli predict`` over all of it. Every case
that is done is read again and compared with the true pixels. Where GDCM, DCMTK or OpenJPEG are installed (Debian:
libgdcm-tools, dcmtk, libopenjp2-tools), they are asked about every case that is done with other pixels; it is an error
if one of them warns of a case that was done (exit code 1), and of how many intact files.

``--intact FOLDER`` (any number of times; "pydicom" for the files in pydicom's own package) lists the intact compressed
files that are refused.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import UID

from segcli.errors import SegcliError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.model_folder import save_model_folder

TOYS = Path(__file__).parent.parent / "tests" / "toys"
JPEG = "1.2.840.10008.1.2.4."
Pixels = NDArray[Any]


def run_lengths(values: Pixels) -> bytes:
    rows, columns = values.shape
    return bytes(
        RLELosslessEncoder.encode(
            values.astype("<u2").tobytes(), rows=rows, columns=columns, samples_per_pixel=1, bits_allocated=16,
            bits_stored=16, pixel_representation=0, number_of_frames=1, photometric_interpretation="MONOCHROME2",
            encoding_plugin="pydicom",
        )
    )  # fmt: skip


CODECS: dict[str, tuple[str, int, Callable[[Pixels], bytes]]] = {
    "JPEG, 8 bit": (f"{JPEG}50", 8, lambda x: imagecodecs.jpeg8_encode(x, level=90)),
    "JPEG, 12 bit": (f"{JPEG}51", 12, lambda x: imagecodecs.jpeg8_encode(x, level=95, bitspersample=12)),
    "JPEG lossless": (f"{JPEG}70", 12, lambda x: imagecodecs.ljpeg_encode(x, bitspersample=12)),
    "JPEG-LS": (f"{JPEG}80", 16, imagecodecs.jpegls_encode),
    "JPEG-LS, lossy": (f"{JPEG}81", 16, lambda x: imagecodecs.jpegls_encode(x, level=3)),
    "JPEG 2000": (
        f"{JPEG}90",
        12,
        lambda x: imagecodecs.jpeg2k_encode(x, level=0, codecformat="j2k", reversible=True, bitspersample=12),
    ),
    "JPEG 2000, lossy": (
        f"{JPEG}91",
        12,
        lambda x: imagecodecs.jpeg2k_encode(x, level=50, codecformat="j2k", bitspersample=12),
    ),
    "HTJ2K": (f"{JPEG}201", 16, imagecodecs.htj2k_encode),
    "RLE": ("1.2.840.10008.1.2.5", 16, run_lengths),
    "deflate": ("1.2.840.10008.1.2.1.99", 16, lambda x: x.tobytes()),
}
"""Name: transfer syntax, bits stored, encoder."""


def image() -> tuple[pydicom.Dataset, Pixels]:
    """pydicom's CT, its values from 0 to 4095, twice as large so that streams are longer than headers."""
    data_set = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    values = np.clip(data_set.pixel_array.astype(np.int32) - int(data_set.pixel_array.min()), 0, 4095)
    values = np.concatenate([np.concatenate([values, values.T], 1), np.concatenate([values[::-1], values[:, ::-1]], 1)])
    for element in list(data_set):
        if element.tag.is_private:
            del data_set[element.tag]
    data_set.RescaleIntercept, data_set.RescaleSlope, data_set.PixelRepresentation = 0, 1, 0
    for keyword in ("PixelPaddingValue", "DataSetTrailingPadding"):
        if keyword in data_set:
            del data_set[keyword]
    data_set.Rows, data_set.Columns = values.shape
    return data_set, values.astype(np.uint16)


def packed(codec: str, number: int, damage: Callable[[bytes], bytes], folder: Path) -> None:
    """One file in a folder of its own, so that the name of its case tells which it is."""
    syntax, bits, encode = CODECS[codec]
    data_set, values = image()
    data_set = deepcopy(data_set)
    width = 8 if bits == 8 else 16
    stored = (values >> 4).astype(np.uint8) if bits == 8 else values
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = width, bits, bits - 1
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.{number + 1}7")
    data_set.SeriesInstanceUID = UID(f"2.25.{number + 1}8")
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    path = folder / f"{number:03d}" / "image.dcm"
    path.parent.mkdir(parents=True)
    if codec == "deflate":
        data_set.PixelData = stored.tobytes()
        data_set.save_as(path, enforce_file_format=True)
        data = path.read_bytes()
        start = 144 + int.from_bytes(data[140:144], "little")
        path.write_bytes(data[:start] + damage(data[start:]))
        return
    data_set.PixelData = encapsulate([damage(bytes(encode(stored)))])
    data_set["PixelData"].VR = "OB"
    data_set.save_as(path, enforce_file_format=True)


def damager(places: int, draw: np.random.Generator) -> Callable[[bytes], bytes]:
    def damage(stream: bytes) -> bytes:
        changed = bytearray(stream)
        for place in draw.integers(0, len(changed), places):
            changed[place] = (changed[place] + int(draw.integers(1, 256))) % 256
        return bytes(changed)

    return damage


def model(folder: Path) -> Path:
    """The toy ``brighter`` of the tests."""
    brighter = runpy.run_path(str(TOYS / "threshold_toys.py"))["brighter"]
    save_model_folder(folder, brighter.example(), brighter.build(brighter.example()).state_dict())
    return folder


def predict(source: Path, toy: Path, out: Path) -> dict[str, str]:
    """Status of each case, by its name."""
    paths = os.pathsep.join([str(TOYS), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "segcli", "predict", str(source), "-m", str(toy), "-o", str(out), "--no-progress"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 4) or "Traceback" in done.stderr:
        raise SystemExit(f"the run ended with {done.returncode}: {done.stdout} {done.stderr}")
    report = json.loads((out / "report.json").read_text())
    return {case["name"].removesuffix("/image.dcm"): case["status"] for case in report["cases"]}


def pixels_of(source: Path) -> dict[str, Pixels]:
    """What segcli reads of each case, by its name."""
    with Readers(2) as readers:
        found = scan([source], ScanOptions(key=b"benchmark"), readers)
        waiting = {case.name: readers.submit_read(case, ReadRequest(), 60) for case in found.cases}
        result = {}
        for name, future in waiting.items():
            try:
                result[name] = np.asarray(future.result().parts[0].pixels)[0, 0]
            except SegcliError:
                continue
    return result


def stream_of(path: Path) -> bytes:
    data_set = pydicom.dcmread(path)
    return next(generate_frames(data_set.PixelData, number_of_frames=1))


def others_warn(path: Path, scratch: Path) -> list[str]:
    """Which installed programs complain of a file."""
    syntax = str(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    commands: dict[str, list[str]] = {}
    if not syntax.endswith((".201", ".202", ".203")):
        commands["gdcmconv"] = ["gdcmconv", "--raw", str(path), str(scratch / "gdcm.dcm")]
    if syntax.startswith(JPEG) and syntax.rpartition(".")[2] in ("50", "51", "53", "55", "57", "70"):
        commands["dcmdjpeg"] = ["dcmdjpeg", str(path), str(scratch / "dcmtk.dcm")]
    elif syntax.startswith(JPEG) and syntax.rpartition(".")[2] in ("80", "81"):
        commands["dcmdjpls"] = ["dcmdjpls", str(path), str(scratch / "dcmtk.dcm")]
    elif syntax == CODECS["RLE"][0]:
        commands["dcmdrle"] = ["dcmdrle", str(path), str(scratch / "dcmtk.dcm")]
    elif syntax == CODECS["deflate"][0]:
        commands["dcmconv"] = ["dcmconv", "+te", str(path), str(scratch / "dcmtk.dcm")]
    else:
        (scratch / "frame.j2k").write_bytes(stream_of(path))
        commands["opj_decompress"] = ["opj_decompress", "-i", str(scratch / "frame.j2k"), "-o", str(scratch / "f.pgm")]
    warning = []
    for name, command in commands.items():
        if shutil.which(name) is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)
        words = (done.stdout + done.stderr).lower()
        if done.returncode or any(word in words for word in ("warn", "error", "corrupt", "premature", "extraneous")):
            warning.append(name)
    return warning


def measure(codec: str, files: int, places: int, folder: Path, toy: Path) -> Counter[str]:
    draw = np.random.default_rng(sorted(CODECS).index(codec))
    packed(codec, 0, lambda stream: stream, folder / "intact")
    (truth,) = pixels_of(folder / "intact").values()
    for number in range(files):
        packed(codec, number, damager(places, draw), folder / "damaged")
    statuses = predict(folder / "damaged", toy, folder / "out")
    read = pixels_of(folder / "damaged")
    counts: Counter[str] = Counter()
    for number in range(files):
        name = f"{number:03d}"
        if statuses.get(name, "failed") not in ("done", "empty"):
            counts["refused"] += 1
            continue
        right = name in read and np.array_equal(read[name], truth)
        counts["right" if right else "other"] += 1
        if not right and others_warn(folder / "damaged" / name / "image.dcm", folder):
            counts["warned"] += 1
    return counts


def refused_although_intact(folders: Sequence[str]) -> None:
    """Print the compressed files of ``folders`` that segcli does not read."""
    count = 0
    for folder in folders:
        root = Path(pydicom.__file__).parent / "data" if folder == "pydicom" else Path(folder)
        for path in sorted(item for item in root.rglob("*") if item.is_file()):
            try:
                data_set = pydicom.dcmread(path, stop_before_pixels=True)
                syntax = UID(data_set.file_meta.TransferSyntaxUID)
                if not syntax.is_encapsulated or "Rows" not in data_set:
                    continue
            except Exception:  # noqa: BLE001, S112 - no DICOM file
                continue
            count += 1
            with Readers(1) as readers:
                found = scan([path], ScanOptions(key=b"benchmark"), readers)
                reasons = [f"{entry.status}: {entry.reason}" for entry in found.left_out]
                for case in found.cases:
                    try:
                        readers.submit_read(case, ReadRequest(), 120).result().close()
                    except SegcliError as error:
                        reasons.append(f"failed: {error}")
            for reason in dict.fromkeys(reasons):
                print(f"  {path.name}  {syntax.name}  {reason}", flush=True)
    print(f"{count} intact compressed files; those listed are not read")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--places", type=int, default=20)
    parser.add_argument("--codec", action="append", choices=sorted(CODECS))
    parser.add_argument("--intact", action="append", metavar="FOLDER")
    given = parser.parse_args()
    if given.intact:
        refused_although_intact(given.intact)
        return
    warned = 0
    print(f"bytes changed at {given.places} places, {given.files} files each")
    print(f"{'':18} {'refused':>8} {'done, right':>12} {'done, other':>12} {'of these warned of':>19}")
    for codec in given.codec or CODECS:
        with tempfile.TemporaryDirectory() as name:
            counts = measure(codec, given.files, given.places, Path(name), model(Path(name) / "model"))
        warned += counts["warned"]
        row = f"{counts['refused']:8} {counts['right']:12} {counts['other']:12} {counts['warned']:19}"
        print(f"{codec:18} {row}", flush=True)
    sys.exit(bool(warned))


if __name__ == "__main__":
    main()
