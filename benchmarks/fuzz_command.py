"""Thousands of damaged small files of every format through the command itself, in folders of hundreds.

``python benchmarks/fuzz_command.py --count 20000`` damages 30 small files with a fixed ``--seed``, half of the time in
the header, one in eight by writing the path of a file outside the input into it. Each folder of 500 goes through
``segcli inspect`` and ``segcli predict``. Ends with exit code 1 if a command ends with an unexpected code, shows a
traceback, leaves a file without an outcome, if a case takes more than 2 s or the run 300 MB more than on harmless
files, or (where strace is installed; ``--no-strace`` does without) if a file is opened that is no input, no output and
no part of the programs. Needs Linux.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from attacked import SEGCLI, Attack, Place, Ran, watch
from fuzz import PIXELS, damaged, itk, jpegs, niftis, tiffs
from hostile_dicom import CODECS, data_set, packed, slice_of_ct, written
from imagecodecs import apng_encode, png_encode
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from red_team import TOYS, make_model

FOLDER = 500
SECONDS, MEGABYTES = 2.0, 300.0
_OPENED = re.compile(r'open(?:at)?\((?:AT_FDCWD, )?"((?:[^"\\]|\\.)*)".*= \d+')
SYSTEM = ("/usr/", "/lib", "/proc/", "/sys/", "/dev/null", "/dev/urandom", "/etc/ld.so", "/etc/localtime", "/opt/")
SYSTEM_FILES = (
    tempfile.gettempdir(),
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/host.conf",
)


def dicoms() -> list[bytes]:
    pixels = slice_of_ct()[:48, :48].copy()
    found = [packed(syntax, encode(pixels), 48) for _, syntax, encode in CODECS]
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        made = data_set(syntax, Rows=48, Columns=48)
        made.PixelData = pixels.tobytes()
        found.append(written(made))
    made = data_set(ExplicitVRLittleEndian, Rows=48, Columns=48)
    made.PixelData = pixels.tobytes()
    made.compress(RLELossless)
    found.append(written(made))
    return found


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of small sound files of all formats."""
    made = {
        "png": [bytes(png_encode(PIXELS)), bytes(apng_encode(np.stack([PIXELS, PIXELS])))],
        "jpg": jpegs(),
        "tif": tiffs(),
        "nii.gz": niftis(folder)[2:],
        "nii": niftis(folder)[:2],
        "nrrd": itk(".nrrd", folder),
        "mha": itk(".mha", folder),
        "dcm": dicoms(),
    }
    return [(suffix, data) for suffix, files in made.items() for data in files]


def mutant(data: bytes, rng: np.random.Generator, outside: bytes) -> bytes:
    if rng.integers(8):
        return damaged(data, rng)
    lines = data[:600].split(b"\n")
    at = int(rng.integers(max(1, len(lines) - 1)))
    words = (b"ElementDataFile = ", b"ElementDataFile : ", b"data file: ", b"datafile: ", b"content: x\x0bdata file: ")
    line = words[int(rng.integers(len(words)))] + outside
    return b"\n".join([*lines[:at], line, *lines[at:]]) + data[600:]


def folders(count: int, seed: int, place: Path) -> Iterator[Place]:
    """``count`` mutants in folders of 500, beside files that nobody may open."""
    rng = np.random.default_rng(seed)
    (place / "seeds").mkdir()
    sources = itertools.cycle(seeds(place / "seeds"))
    outside = place / "outside.bin"
    outside.write_bytes(bytes(range(256)) * 96)
    for start in range(0, count, FOLDER):
        folder = place / f"folder{start}"
        made = Place(folder / "IN", folder / "OUT", folder / "scratch", place / "brighter")
        made.inputs.mkdir(parents=True)
        made.scratch.mkdir()
        for number in range(start, min(count, start + FOLDER)):
            suffix, data = next(sources)
            (made.inputs / f"m{number:06}.{suffix}").write_bytes(mutant(data, rng, str(outside).encode()))
        yield made
        shutil.rmtree(folder, ignore_errors=True)


def strangers(trace: Path, place: Place) -> set[str]:
    """Paths that were opened and are neither input, output, model, program nor the system's own."""
    allowed = (
        *SYSTEM, str(place.inputs), str(place.output), str(place.model), str(place.scratch), sys.prefix,
        sys.base_prefix, str(TOYS.parent.parent), tempfile.gettempdir() + "/torch",
    )  # fmt: skip
    found = set()
    for line in trace.read_text(errors="replace").splitlines():
        opened = _OPENED.search(line)
        if opened is None:
            continue
        path = opened[1]
        if "O_EXCL" in line and Path(path).parent == Path(tempfile.gettempdir()):
            continue  # Python tries whether a temporary folder can be written, and removes what it wrote
        known = path.startswith(allowed) or path in SYSTEM_FILES or not path.startswith("/")
        if not known and "site-packages" not in path and "__editable__" not in path:
            found.add(path)
    return found


def faults(ran: Ran, names: Sequence[str], base: float, codes: Sequence[int]) -> Iterator[str]:
    if ran.killed is not None:
        yield ran.killed
    if ran.code not in codes:
        yield f"exit code {ran.code}: {ran.text[-300:]}"
    if "Traceback (most recent call last)" in ran.text:
        yield "a traceback was shown"
    if ran.peak > base + MEGABYTES:
        yield f"{ran.peak:,.0f} MB, {base:,.0f} on harmless files"
    if (ran.place.output / "report.json").is_file():
        yield from without_outcome(ran, names)


def without_outcome(ran: Ran, names: Sequence[str]) -> Iterator[str]:
    told = json.loads((ran.place.output / "report.json").read_text())["cases"]
    slow = [(case["name"], sum(case["seconds"].values())) for case in told]
    yield from (f"{name}: {seconds:.1f} s" for name, seconds in slow if seconds > SECONDS)
    known = {case["name"] for case in told}
    lost = [name for name in names if name not in known and not name.endswith("dcm")]
    if lost:
        yield f"{len(lost)} files without an outcome, {lost[0]} among them"


def go(command: Sequence[str], place: Place, strace: bool) -> tuple[Ran, set[str]]:
    trace = place.scratch / "trace"
    traced = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=open,openat", "-o", str(trace)] if strace else []
    ran = watch([*traced, *command], place, Attack("", "", lambda _: (), seconds=1800), 20_000)
    return ran, strangers(trace, place) if strace else set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-strace", action="store_true")
    options = parser.parse_args()
    strace = shutil.which("strace") is not None and not options.no_strace
    os.environ["PYTHONPATH"] = str(TOYS)
    statuses: Counter[str] = Counter()
    bad, bases = 0, {}
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        make_model(top)
        for number, place in enumerate(folders(options.count, options.seed, top)):
            names = [path.name for path in place.inputs.iterdir()]
            if not bases:
                bases = harmless(place, top)
            for kind, command in (
                ("inspect", (*SEGCLI, "inspect", str(place.inputs))),
                ("predict", (*place.predict(), "-q")),
            ):
                start = time.monotonic()
                ran, opened = go(command, place, strace)
                found = [*faults(ran, names, bases[kind], (0, 1, 3, 4)), *(f"opened {path}" for path in sorted(opened))]
                bad += len(found)
                print(
                    f"folder {number} {kind}: code {ran.code}, {time.monotonic() - start:.0f} s, {ran.peak:,.0f} MB",
                    *found[:8], sep="\n    ", flush=True,
                )  # fmt: skip
            report = place.output / "report.json"
            if report.is_file():
                statuses.update(case["status"] for case in json.loads(report.read_text())["cases"])
    told = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    print(f"{options.count} mutants (pydicom {pydicom.__version__}; strace: {'yes' if strace else 'no'}): {told}")
    print(f"{bad} faults")
    sys.exit(bool(bad))


def harmless(place: Place, top: Path) -> dict[str, float]:
    """MB that the two commands take on the sound files."""
    folder = top / "sound"
    sound = Place(folder / "IN", folder / "OUT", folder / "scratch", place.model)
    sound.inputs.mkdir(parents=True)
    sound.scratch.mkdir()
    for number, (suffix, data) in enumerate(seeds(top / "seeds")):
        (sound.inputs / f"s{number}.{suffix}").write_bytes(data)
    inspected, _ = go((*SEGCLI, "inspect", str(sound.inputs)), sound, False)
    predicted, _ = go((*sound.predict(), "-q"), sound, False)
    if predicted.code not in (0, 1):
        sys.exit(f"sound files already fail: {predicted.text[-500:]}")
    print(f"sound files: inspect {inspected.peak:,.0f} MB, predict {predicted.peak:,.0f} MB")
    return {"inspect": inspected.peak, "predict": predicted.peak}


if __name__ == "__main__":
    main()
