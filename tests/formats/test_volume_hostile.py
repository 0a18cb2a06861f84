"""Volumes made to lead out of their folder, or to cost much more than their bytes: neither happens."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from opened import watched
from plain_files import read

from segcli.cli.main import run
from segcli.errors import SegcliError, UnreadableError
from segcli.formats.interface import ReadRequest
from segcli.formats.nifti import FORMAT as NIFTI
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.formats.unpack import unpack, unpack_start
from segcli.formats.volume import MHA, NRRD

RAW = np.arange(210, dtype="<i2").tobytes()
META = b"ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\n"
NRRD_HEAD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nendian: little\nencoding: raw\n"
LOCAL = b"ElementDataFile = LOCAL\n"

LEADING_OUT = {
    "colon.mha": META + b"ElementDataFile : OUT\n" + LOCAL,
    "colon-after.mha": META + b"Comment = x\nElementDataFile:OUT\n" + LOCAL,
    "vertical-tab.mha": META + b"Comment = x\x0bElementDataFile = OUT\n" + LOCAL,
    "form-feed.mha": META + b"Comment = x\x0cElementDataFile = OUT\n" + LOCAL,
    "next-line.mha": META + b"Comment = x\x85ElementDataFile = OUT\n" + LOCAL,
    "return.mha": META + b"Comment = x\rElementDataFile = OUT\r" + LOCAL,
    "nul.mha": META + b"Comment = x\0ElementDataFile = OUT\n" + LOCAL,
    "no-value.mha": META + b"ElementDataFile =\n OUT\n" + LOCAL,
    "blanks.mha": META + b"   ElementDataFile   =   OUT   \n" + LOCAL,
    "twice.mha": META + LOCAL + b"ElementDataFile = OUT\n",
    "list.mha": META + b"ElementDataFile = LIST\nOUT\n",
    "list-2d.mha": META + b"ElementDataFile = LIST 2D\nOUT\nOUT\nOUT\nOUT\nOUT\n",
    "pattern.mha": META + b"ElementDataFile = OUT%d 1 5 1\n",
    "plain.mhd": META + b"ElementDataFile = OUT\n",
    "up.mhd": META + b"ElementDataFile = ../secret.raw\n",
    "link.mhd": META + b"ElementDataFile = link.raw\n",
    "linked-folder.mhd": META + b"ElementDataFile = folder/secret.raw\n",
    "vertical-tab.nrrd": NRRD_HEAD + b"data file: OUT\ncontent: x\x0bdata file: ok.raw\n\n",
    "form-feed.nrrd": NRRD_HEAD + b"data file: OUT\ncontent: x\x0cdata file: ok.raw\n\n",
    "next-line.nrrd": NRRD_HEAD + b"data file: OUT\ncontent: x\x85data file: ok.raw\n\n",
    "return.nrrd": NRRD_HEAD + b"content: x\rdata file: OUT\r\n\n",
    "alias.nrrd": NRRD_HEAD + b"datafile: ok.raw\ndata file: OUT\n\n",
    "capitals.nrrd": NRRD_HEAD + b"DATA FILE: OUT\n\n",
    "key-value.nrrd": NRRD_HEAD + b"data file:=ok.raw\ndata file: OUT\n\n",
    "list.nrrd": NRRD_HEAD + b"data file: LIST\nOUT\n\n",
    "pattern.nrrd": NRRD_HEAD + b"data file: OUT%d 1 5 1\n\n",
    "up.nhdr": NRRD_HEAD + b"data file: x/../../secret.raw\n",
    "link.nhdr": NRRD_HEAD + b"data file: link.raw\n",
    "linked-folder.nhdr": NRRD_HEAD + b"data file: folder/secret.raw\n",
}


def test_nothing_outside_the_input_is_opened(threshold_model: Path, tmp_path: Path) -> None:
    outside, folder = tmp_path / "secret.raw", tmp_path / "in"
    outside.write_bytes(RAW[::-1])
    folder.mkdir()
    (folder / "link.raw").symlink_to(outside)
    (folder / "folder").symlink_to(tmp_path)
    (folder / "ok.raw").write_bytes(RAW)
    for name, head in LEADING_OUT.items():
        (folder / name).write_bytes(head.replace(b"OUT", os.fsencode(outside)) + RAW)
    pair = nibabel.Nifti1Pair(np.zeros((3, 4, 5), np.int16), np.eye(4))
    pair.to_filename(tmp_path / "pair.img")
    (folder / "pair.hdr").write_bytes((tmp_path / "pair.hdr").read_bytes())
    (folder / "pair.img").symlink_to(tmp_path / "pair.img")
    with watched(outside, tmp_path / "pair.img") as opened:
        assert run(["inspect", str(folder)]) == 0
        output = tmp_path / "out"
        code = run(["predict", str(folder), "-m", str(threshold_model), "-o", str(output), "--device", "cpu"])
    assert code in (1, 4)
    assert opened == []
    assert not any(output.rglob("*secret*"))


@pytest.mark.parametrize("name", [name for name in LEADING_OUT if "link" not in name])
def test_each_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(LEADING_OUT[name].replace(b"OUT", b"/etc/passwd") + RAW)
    (tmp_path / "ok.raw").write_bytes(RAW)
    format_ = NRRD if path.suffix in (".nrrd", ".nhdr") else MHA
    try:
        result = read(format_, path, beside=(tmp_path / "ok.raw",))
    except SegcliError as error:
        assert "passwd" not in str(error)
        assert "\n" not in str(error)
    else:  # one reading only: the data behind the header
        assert name.partition(".")[0] in {"vertical-tab", "form-feed", "next-line", "return", "nul", "twice"}
        assert result.parts[0].pixels.size == 210


@pytest.mark.parametrize("swap", ["link", "pipe", "folder"])
def test_what_took_a_files_place_after_the_scan_is_refused(swap: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mhd").write_bytes(META + b"ElementDataFile = a.raw\n")
    (folder / "a.raw").write_bytes(RAW)
    (tmp_path / "secret").write_bytes(RAW)
    with Readers(1) as readers:
        (case,) = scan([folder], ScanOptions(b"k" * 32), readers).cases
        (folder / "a.raw").unlink()
        if swap == "link":
            (folder / "a.raw").symlink_to(tmp_path / "secret")
        elif swap == "pipe":
            os.mkfifo(folder / "a.raw")
        else:
            (folder / "a.raw").mkdir()
        with watched(tmp_path / "secret") as opened, pytest.raises(UnreadableError, match="run again"):
            readers.submit_read(case, ReadRequest(), deadline=60).result(60)
    assert opened == []


def nifti(shape: tuple[int, ...], offset: float = 544, dtype: str = "<u1") -> bytes:
    header = nibabel.Nifti2Header()
    header["dim"][: len(shape) + 1] = (len(shape), *shape)
    header.set_data_dtype(dtype)
    header["vox_offset"], header["scl_slope"] = offset, 1
    return bytes(header.binaryblock) + bytes(4)


def zeros(size: int, kind: int = 31) -> bytes:
    packer = zlib.compressobj(9, wbits=kind)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def nrrd(*lines: str, sizes: str = "7 6 5", encoding: str = "raw", kind: str = "short") -> bytes:
    axes = len(sizes.split())
    head = ["NRRD0004", f"type: {kind}", f"dimension: {axes}", f"sizes: {sizes}", "endian: little"]
    return "\n".join([*head, f"encoding: {encoding}", *lines, "", ""]).encode()


def meta(*lines: str, sizes: str = "7 6 5") -> bytes:
    head = ["ObjectType = Image", f"NDims = {len(sizes.split())}", f"DimSize = {sizes}", "ElementType = MET_SHORT"]
    return "\n".join([*head, *lines, "ElementDataFile = LOCAL", ""]).encode()


HUGE = "1" + "0" * 400
EMPTY_MEMBERS = gzip.compress(b"", mtime=0) * 20_000
COSTLY: dict[str, tuple[Any, bytes]] = {
    "bomb.nrrd": (NRRD, nrrd(encoding="gzip") + zeros(1 << 26)),
    "skipped-bomb.nrrd": (NRRD, nrrd("byte skip: 999999999999", encoding="gzip") + zeros(1 << 26)),
    "announced.nrrd": (NRRD, nrrd(sizes="7000 7000 10", kind="double", encoding="gzip") + zeros(1 << 20)),
    "members.nrrd": (NRRD, nrrd(encoding="gzip") + EMPTY_MEMBERS),
    "pairs.nrrd": (NRRD, nrrd(*(f"{number}:=" for number in range(20_000))) + RAW),
    "comments.nrrd": (NRRD, nrrd(*["#"] * 80_000) + RAW),
    "directions.nrrd": (NRRD, nrrd("space directions: " + "(" * 180_000) + RAW),
    "vectors.nrrd": (NRRD, nrrd("space directions: " + "none" * 40_000) + RAW),
    "blanks.nrrd": (NRRD, nrrd("spacings: " + " " * 180_000) + RAW),
    "sizes.nrrd": (NRRD, nrrd(sizes="1 " * 80_000) + RAW),
    "huge-sizes.nrrd": (NRRD, nrrd(sizes=f"{HUGE} {HUGE} {HUGE}") + RAW),
    "huge-spacing.nrrd": (NRRD, nrrd(f"spacings: {HUGE} 1e999 1") + RAW),
    "digits.nrrd": (NRRD, nrrd("spacings: " + "9" * 180_000 + " 1 1") + RAW),
    "skip.nrrd": (NRRD, nrrd("line skip: 999999999999999999") + b"\n" * 180_000),
    "infinite.nrrd": (NRRD, nrrd("spacings: inf -inf nan", sizes="-7 6 5") + RAW),
    "text.nrrd": (NRRD, nrrd(encoding="text", sizes="700 600 5") + b"1 " * 80_000),
    "digits-of-text.nrrd": (NRRD, nrrd(encoding="text") + b"9" * 180_000),
    "bomb.mha": (MHA, meta("CompressedData = True", "CompressedDataSize = 99999999") + zeros(1 << 26, 15)),
    "line.mha": (MHA, meta("Comment = " + "x" * 180_000) + RAW),
    "equals.mha": (MHA, meta("Comment" + "=" * 180_000) + RAW),
    "keys.mha": (MHA, meta(*["a="] * 60_000) + RAW),
    "blanks.mha": (MHA, b"\n" * 180_000 + meta() + RAW),
    "endless.mha": (MHA, b"ObjectType = Image\n" + b"Comment = x\n" * 20_000),
    "numbers.mha": (MHA, meta("TransformMatrix = " + "1 " * 80_000) + RAW),
    "huge.mha": (MHA, meta(f"Offset = {HUGE} 1e400 1", f"ElementSpacing = {HUGE} 1 1") + RAW),
    "channels.mha": (MHA, meta(f"ElementNumberOfChannels = {HUGE}") + RAW),
    "many-channels.mha": (MHA, meta("ElementNumberOfChannels = 4294967295") + RAW),
    "a-billion-channels.mha": (MHA, meta("ElementNumberOfChannels = 900000000", sizes="1 1 1") + RAW),
    "negative.mha": (MHA, meta(sizes="-7 6 5") + RAW),
    "bomb.nii.gz": (NIFTI, gzip.compress(nifti((7, 6, 5)), mtime=0) + zeros(1 << 26)),
    "extension.nii.gz": (NIFTI, gzip.compress(nifti((7, 6, 5), offset=2**31 - 1), mtime=0) + zeros(1 << 26)),
    "announced.nii.gz": (NIFTI, gzip.compress(nifti((7000, 7000, 10), dtype="<f8"), mtime=0) + zeros(1 << 20)),
    "members.nii.gz": (NIFTI, gzip.compress(nifti((7, 6, 5)), mtime=0) + EMPTY_MEMBERS),
    "channels.nii.gz": (NIFTI, gzip.compress(nifti((1, 1, 1, 1, 1 << 22)) + bytes(1 << 22), mtime=0)),
    "slices.nii": (NIFTI, nifti((1, 1, 2**62)) + RAW),
    "negative.nii": (NIFTI, nifti((-1, 7, 6)) + RAW),
    "infinite.nii": (NIFTI, nifti((7, 6, 5), offset=0) + RAW),
}


@pytest.mark.parametrize("name", COSTLY)
def test_no_file_takes_what_its_bytes_do_not_pay_for(name: str, tmp_path: Path) -> None:
    """At most 200 bytes of memory and 2 microseconds for each byte of the file, above 4 MB and half a second."""
    format_, data = COSTLY[name]
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    for attempt in (format_.describe, lambda path: read(format_, path)):
        tracemalloc.reset_peak()
        began = time.process_time()
        try:
            attempt(path)
        except SegcliError as error:
            assert len(str(error)) < 300
        taken, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
        assert peak < 4_000_000 + 200 * len(data)
        assert taken < 0.5 + 2e-6 * len(data) + 2  # and the time that tracing takes
    tracemalloc.stop()


def test_streams_are_unpacked_to_the_byte() -> None:
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 5, 300_000, dtype=np.uint8).tobytes()
    several = gzip.compress(plain[:7]) + bytes(9) + gzip.compress(b"") + gzip.compress(plain[7:])
    for skip, size in ((0, len(plain)), (5, 100), (0, 0), (150_000, 150_000), (3, 1 << 17)):
        found, ended = unpack(several, size, skip=skip)
        assert found.tobytes() == plain[skip : skip + size]
        assert ended == (skip + size == len(plain))
    assert unpack_start(several, 540) == plain[:540]
    for short in (several[:-9], several[:-1], several[:100]):
        with pytest.raises(EOFError):
            unpack(short, len(plain))
    wrong = bytearray(several)
    wrong[-6] ^= 1
    with pytest.raises(zlib.error):
        unpack(bytes(wrong), len(plain))
    with pytest.raises(EOFError):
        unpack(several, len(plain) + 1)
