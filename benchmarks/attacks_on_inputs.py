"""Attacks by files in the input folder: headers that lie, bombs, pipes. Used by red_team.py."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from attacked import SEGCLI, Attack, Check, Place, Ran
from hostile_dicom import dicom_attacks
from PIL import Image as Pillow

NAME = "hostile"
GREY = np.random.default_rng(0).integers(0, 200, (64, 64)).astype(np.uint8)


def file(name: str, data: Callable[[], bytes]) -> Callable[[Place], Sequence[str]]:
    """An input folder with one hostile and one harmless file, and predict."""

    def prepare(place: Place) -> Sequence[str]:
        (place.inputs / name).write_bytes(data())
        Pillow.fromarray(GREY).save(place.inputs / "good.png")
        return place.predict()

    return prepare


def others_go_on(ran: Ran) -> str | None:
    found = ran.cases.get("good.png", {}).get("status")
    return None if found == "done" else f"the harmless file beside it: {found}"


def ends(*statuses: str, names: str = NAME) -> Check:
    """The hostile file has one of these statuses, and the harmless file beside it is done."""

    def check(ran: Ran) -> str | None:
        found = [case["status"] for name, case in ran.cases.items() if names in name]
        if not found or any(status not in statuses for status in found):
            return f"status {found or 'missing'}, not {' or '.join(statuses)}"
        return others_go_on(ran)

    return check


def inspected(attack: Attack) -> Attack:
    """The same files through ``segcli inspect``."""

    def prepare(place: Place) -> Sequence[str]:
        attack.prepare(place)
        return (*SEGCLI, "inspect", str(place.inputs))

    return Attack(f"{attack.name}i", f"{attack.what}: inspect", prepare, codes=(0, 1, 3), megabytes=attack.megabytes)


def meta_image_text() -> bytes:
    return b"\n" * 40 + b"x\n"


def ini() -> bytes:
    return b"".join(b"[part%d]\n\nkey = value\n\n\n" % number for number in range(120))


def mha_that_reads(secret: Path) -> bytes:
    side = int(secret.stat().st_size ** 0.5)
    lines = f"ObjectType = Image\nNDims = 2\nDimSize = {side} {side}\nElementType = MET_UCHAR\n"
    return f"{lines}ElementDataFile : {secret}\nElementDataFile = LOCAL\n".encode() + b"\0" * side * side


def nrrd_that_reads(secret: Path, gap: str) -> bytes:
    side = int(secret.stat().st_size ** 0.5)
    lines = f"NRRD0004\ntype: uint8\ndimension: 2\nsizes: {side} {side}\nencoding: raw\n"
    return f"{lines}data file: {secret}\ncontent: x{gap}data file: ok.raw\n\n".encode("latin-1")


def reads_outside(data: Callable[[Path], bytes], suffix: str) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        secret = place.scratch / "secret.bin"
        secret.write_bytes(bytes(range(256)) * 16)
        (place.inputs / f"{NAME}{suffix}").write_bytes(data(secret))
        (place.inputs / "ok.raw").write_bytes(b"\0" * 4096)
        Pillow.fromarray(GREY).save(place.inputs / "good.png")
        return place.predict()

    return prepare


def secret_unread(ran: Ran) -> str | None:
    """A file outside the input must not have become pixels: a sound mask of zeros alone is no harm."""
    for name, case in ran.cases.items():
        pixels = [volume["pixels"] for volume in case.get("volumes", {}).values()]
        if NAME in name and case["status"] == "done" and any(pixels):
            return "a file outside the input was segmented"
    return others_go_on(ran)


def nifti2(slices: int) -> bytes:
    header = bytearray(544)
    struct.pack_into("<i8sH", header, 0, 540, b"n+2\0\r\n\x1a\n", 2)  # uint8
    struct.pack_into("<H", header, 14, 8)
    struct.pack_into("<8q", header, 16, 3, 1, 1, slices, 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<q", header, 168, 544)
    struct.pack_into("<2d", header, 176, 1, 0)
    return gzip.compress(bytes(header) + bytes(slices), 9, mtime=0)


def jpeg_of_scans(scans: int) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(np.tile(GREY, (32, 32))).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def jpeg_of_fill_bytes() -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(GREY).save(out, "JPEG")
    data = out.getvalue()
    return data[:2] + b"\xff" * 20_000_000 + data[2:]


def tiff_of_pages(pages: int) -> bytes:
    """Classic TIFF written by hand: every page has a directory of its own, all share one strip of 64 bytes."""
    tags = ((256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 8), (279, 4, 64))
    size = 2 + 12 * len(tags) + 4
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    out = [struct.pack("<2sHI", b"II", 42, 8 + 64), bytes(range(64))]
    for page in range(pages):
        following = 0 if page == pages - 1 else 72 + (page + 1) * size
        out.append(struct.pack("<H", len(tags)) + body + struct.pack("<I", following))
    return b"".join(out)


def ome_of_planes(planes: int) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, GREY[:16, :16], ome=True, photometric="minisblack", metadata={"axes": "YX"})
    data = out.getvalue()
    at = data.index(b'SizeZ="1"')
    wide = b'SizeZ="%d"' % planes
    start = data.index(b"<OME")
    text = data[start : data.index(b"</OME>") + 6].replace(data[at : at + 9], wide)
    again = io.BytesIO()
    tifffile.imwrite(
        again, GREY[:16, :16], photometric="minisblack", description=b'<?xml version="1.0"?>' + text, metadata=None
    )
    return again.getvalue()


def shaped(planes: int) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(
        out, GREY[:16, :16], photometric="minisblack", description=f'{{"shape": [{planes}, 16, 16]}}', metadata=None
    )
    return out.getvalue()


def nrrd_bomb() -> bytes:
    """A header of 64 × 64 over a stream that unpacks to 6.5 GB."""
    head = b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 64 64\nencoding: gzip\n\n"
    packer = zlib.compressobj(9, wbits=31)
    chunk = bytes(1 << 24)
    return head + b"".join(packer.compress(chunk) for _ in range(390)) + packer.flush()


def deep_png() -> bytes:
    return bytes(imagecodecs.png_encode(np.zeros((6000, 6000, 3), np.uint16), level=9))


def deep_folders(place: Place) -> Sequence[str]:
    folder = place.inputs
    for _ in range(400):
        folder = folder / "d"
    folder.mkdir(parents=True)
    for number in range(20):
        Pillow.fromarray(GREY).save(folder / f"good{number}.png")
    return place.predict()


def pipe(name: str) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        os.mkfifo(place.inputs / name)
        Pillow.fromarray(GREY).save(place.inputs / "good.png")
        return place.predict()

    return prepare


def folder(name: str) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        (place.inputs / name).mkdir()
        Pillow.fromarray(GREY).save(place.inputs / name / "hostile.png")
        Pillow.fromarray(GREY).save(place.inputs / "good.png")
        return place.predict()

    return prepare


def formula(place: Place) -> Sequence[str]:
    Pillow.fromarray(GREY).save(place.inputs / "x;=1+cmd|calc!A0.png")
    return place.predict()


def no_formula(ran: Ran) -> str | None:
    import csv  # noqa: PLC0415 - this check alone

    text = (ran.place.output / "volumes.csv").read_text(encoding="utf-8")
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            if any(cell.strip().startswith(("=", "+", "@")) for cell in row):
                return f"a formula where {separator!r} separates"
    return None


def arriving(place: Place) -> Sequence[str]:
    """Files copied with their old times (cp -p, rsync -a) a moment ago."""
    Pillow.fromarray(GREY).save(place.inputs / f"{NAME}.png")
    os.utime(place.inputs / f"{NAME}.png", (1e9, 1e9))
    return place.predict("--settle", "3600")


def waits(ran: Ran) -> str | None:
    found = ran.cases.get(f"{NAME}.png", {})
    return None if "still arriving" in str(found.get("reason")) else f"status {found.get('status')}"


_PLAIN = (
    Attack("H1", "text of 40 newlines", file(f"{NAME}.txt", meta_image_text), ends("skipped"), seconds=20),
    Attack("H1b", "an INI file with double blank lines", file(f"{NAME}.ini", ini), ends("skipped"), seconds=20),
    Attack("H1c", "newlines alone", file(f"{NAME}.raw", lambda: b" \n" * 2000), ends("skipped"), seconds=20),
    Attack("H2", "MHA that names a file outside", reads_outside(mha_that_reads, ".mha"), secret_unread),
    *(
        Attack(f"H2-{ord(gap):02x}", "NRRD that names a file outside", prepare, secret_unread)
        for gap in "\x0b\x0c\x85\x1c\r"
        for prepare in [reads_outside(lambda secret, gap=gap: nrrd_that_reads(secret, gap), ".nrrd")]
    ),
    Attack("M4", "NIfTI-2 of 10,000 slices", file(f"{NAME}.nii.gz", lambda: nifti2(10_000)), ends("failed")),
    Attack("M4b", "NIfTI-2 of 300,000 slices", file(f"{NAME}.nii.gz", lambda: nifti2(300_000)), ends("failed")),
    Attack("M4c", "JPEG of 4,005 scans", file(f"{NAME}.jpg", lambda: jpeg_of_scans(4000)), ends("failed")),
    Attack(
        "M4d", "TIFF of 65,535 pages", file(f"{NAME}.tif", lambda: tiff_of_pages(65_535)), ends("failed"), seconds=60
    ),
    Attack("M5", "OME-TIFF of 2e9 planes", file(f"{NAME}.tif", lambda: ome_of_planes(2 * 10**9)), ends("failed")),
    Attack("M5b", "shaped TIFF of 2e9 planes", file(f"{NAME}.tif", lambda: shaped(2 * 10**9)), ends("failed")),
    Attack("M5c", "NRRD that unpacks to 6.5 GB", file(f"{NAME}.nrrd", nrrd_bomb), ends("failed"), seconds=60),
    Attack("M5d", "RGB PNG of 16 bit, 36 Mpx", file(f"{NAME}.png", deep_png), others_go_on, seconds=240, megabytes=900),
    Attack("seen", "JPEG of 20 MB of fill bytes", file(f"{NAME}.jpg", jpeg_of_fill_bytes), others_go_on),
    Attack("M8", "folders 400 deep, 20 pictures", deep_folders, seconds=30),
    *(Attack("M1", f"a pipe called {name}", pipe(name), others_go_on) for name in ("manifest.jsonl", "a.png")),
    *(
        Attack("M3", f"a folder called {name}", folder(name), ends("failed"))  # it must be renamed
        for name in ("report.json", "report.html", "volumes.csv", "manifest.jsonl", ".segcli-key.d")
        if not name.startswith(".")
    ),
    Attack("L2", "a name that is a formula", formula, no_formula),
    Attack("B3", "files that arrive with old times", arriving, waits, codes=(0, 3)),
)

ATTACKS = (
    *_PLAIN,
    *(inspected(attack) for attack in _PLAIN if attack.name in ("H1", "M4b", "M4c", "M4d", "M5", "M5b", "M5c")),
    *dicom_attacks(),
)
