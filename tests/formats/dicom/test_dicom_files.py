"""Every file ends as used, skipped or failed; damaged and hostile ones raise errors of ours, and nothing else."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import dicom_making as making
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from segcli.errors import CaseError, SegcliError, SkippedCase, UnreadableError, UsageError
from segcli.formats.dicom.format import FORMAT
from segcli.formats.interface import ElementRequest

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def test_looking_at_bytes_imports_no_library() -> None:
    code = (
        "import sys; from segcli.formats.dicom.format import FORMAT; FORMAT.recognises(b'x' * 4096);"
        "print([name for name in ('pydicom', 'highdicom', 'imagecodecs', 'torch') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_files_of_the_pydicom_wheel_are_recognised() -> None:
    for path in SHIPPED.rglob("*.dcm"):
        if path.name not in ("meta_missing_tsyntax.dcm", "no_meta.dcm"):  # the latter begins with a stray byte
            assert FORMAT.recognises(path.read_bytes()[:4096]), path.name
    for name in ("README.txt", "test1.json", "crayons.icc", "zipMR.gz", "rtplan.dump"):
        assert not FORMAT.recognises((SHIPPED / name).read_bytes()[:4096]), name


@pytest.mark.parametrize(
    "head",
    [b"", b"\0" * 4096, b"DICM" * 10, b"\x89PNG\r\n\x1a\n" + b"\0" * 200, b"II*\0" + b"\1" * 500, b'{"a": 1}' * 99],
)
def test_other_bytes_are_not(head: bytes) -> None:
    assert not FORMAT.recognises(head)


def test_all_shipped_files_end_in_exactly_one_place(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "in")
    found = making.scan(tmp_path / "in")
    everything = sorted(path for path in (tmp_path / "in").rglob("*") if path.is_file())
    assert sorted(found.files()) == everything
    assert len({case.id for case in found.cases}) == len(found.cases) > 30
    assert all(reason for _, _, reason in found.refused) and all(entry.reason for entry in found.left_out)
    for case in found.cases:
        try:
            making.read(case, max_pixels=600_000)
        except CaseError as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rtdose.dcm", "radiotherapy"),
        ("rtplan.dcm", "radiotherapy"),
        ("rtstruct.dcm", "radiotherapy"),
        ("test-SR.dcm", "no image"),
        ("reportsi.dcm", "no image"),
        ("waveform_ecg.dcm", "no image"),
        ("dicomdirtests/DICOMDIR", "DICOMDIR"),
        ("liver_1frame.dcm", "segmentation"),
    ],
)
def test_objects_that_are_no_images_are_skipped(name: str, reason: str) -> None:
    with pytest.raises(SkippedCase, match=reason):
        FORMAT.describe(SHIPPED / name)


def test_our_own_seg_is_no_input(tmp_path: Path) -> None:
    case = making.scan(making.save_all(making.stack(making.phantom()), tmp_path)).case
    making.segment(case, tmp_path / "SEG_x.dcm")
    found = making.scan(tmp_path)
    assert found.case.id == case.id
    assert [(status, "SEG" in reason) for _, status, reason in found.refused] == [("skipped", True)]


def test_encrypted_and_video_and_slides_are_skipped(tmp_path: Path) -> None:
    envelope = b"\x30\x80" + bytes.fromhex("06092a864886f70d010703") + b"\xa0" * 300
    (tmp_path / "secret").write_bytes(envelope)
    assert FORMAT.recognises(envelope)
    with pytest.raises(SkippedCase, match="encrypted"):
        FORMAT.describe(tmp_path / "secret")
    image = making.stack(making.phantom(1))[0]
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    image.PixelData = pydicom.encaps.encapsulate([b"\0\0\0\1video"])
    making.save(image, tmp_path / "film")
    with pytest.raises(SkippedCase, match=r"1\.2\.840\.10008\.1\.2\.4\.102"):
        FORMAT.describe(tmp_path / "film")
    image = making.stack(making.phantom(1))[0]
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    making.save(image, tmp_path / "slide")
    with pytest.raises(SkippedCase, match="whole-slide"):
        FORMAT.describe(tmp_path / "slide")


def test_what_a_damaged_sop_class_swallowed_is_told_to_nobody(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    del image.PixelData
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.3.4.5.6.7.8.9.10.11.12"
    path = making.save(image, tmp_path / "a")
    path.write_bytes(
        path.read_bytes().replace(b"1.2.3.4.5.6.7.8.9.10.11.12", b"1.2.3\0\x10\0\x10\0PN\x0e\0Test^Jane \x1c\x1c")
    )
    with pytest.raises(SkippedCase, match="no image in it") as caught:
        FORMAT.describe(path)
    assert "Jane" not in str(caught.value)


def test_undecodable_syntax_fails_its_series_by_uid_and_no_other(tmp_path: Path) -> None:
    making.save_all(making.stack(making.phantom()), tmp_path / "good")
    image = making.stack(making.phantom(1), series=f"{making.ROOT}.8")[0]
    path = making.save(image, tmp_path / "private")
    data = path.read_bytes()
    meta, private = data.index(b"1.2.840.10008.1.2.1\0"), b"1.2.840.113619.5.29\0"
    path.write_bytes(data[:meta] + private + data[meta + len(private) :])
    found = making.scan(tmp_path)
    assert len(found.cases) == 1
    assert [entry.status for entry in found.left_out] == ["failed"]
    assert "1.2.840.113619.5.29" in found.left_out[0].reason


def test_one_truncated_slice_fails_its_series(tmp_path: Path) -> None:
    making.save_all(making.stack(making.phantom()), tmp_path)
    victim = tmp_path / "003.dcm"
    victim.write_bytes(victim.read_bytes()[:-300])
    found = making.scan(tmp_path)
    assert not found.cases
    assert found.left_out[0].status == "failed" and len(found.left_out[0].files) == 6


def test_file_cut_within_its_header_never_becomes_a_case(tmp_path: Path) -> None:
    path = making.save(making.stack(making.phantom(1))[0], tmp_path / "a")
    data = path.read_bytes()
    for length in range(140, len(data) - 1, 37):
        path.write_bytes(data[:length])
        found = making.scan(tmp_path)
        assert len(found.files()) == 1
        for case in found.cases:
            with pytest.raises(CaseError):
                making.read(case)


def test_deflate_bomb_is_refused_in_little_time(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = making.save(image, tmp_path / "bomb")
    data = path.read_bytes()
    start = data.index(b"1.2.840.10008.1.2.1.99")
    length = int.from_bytes(data[140:144], "little")
    assert start < 144 + length
    body = zlib.decompress(data[144 + length :], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(body)
    for _ in range(200):
        bomb += packer.compress(bytes(1 << 20))
    path.write_bytes(data[: 144 + length] + bomb + packer.flush())
    begin = time.monotonic()
    found = making.scan(tmp_path)
    for case in found.cases:
        with pytest.raises(CaseError):
            making.read(case)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 65535), ("Columns", 65535), ("NumberOfFrames", 2_000_000_000)])
def test_sizes_that_the_file_cannot_hold_are_refused(keyword: str, value: int, tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    setattr(image, keyword, value)
    making.save(image, tmp_path / "a")
    found = making.scan(tmp_path)
    assert not found.cases and found.left_out[0].status == "failed"


def test_compressed_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    data = Path(str(get_testdata_file("MR_small_jp2klossless.dcm"))).read_bytes()
    image = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    image.Rows = 60000
    making.save(image, tmp_path / "a")
    case = making.scan(tmp_path).case
    with pytest.raises(UnreadableError, match="64 x 64"):
        making.read(case, max_pixels=10**10)
    damaged = bytearray(data)
    damaged[-2500:] = bytes(2500)
    (tmp_path / "a").write_bytes(damaged)
    with contextlib.suppress(CaseError):  # codecs may give a partly false image; they may not crash
        making.read(making.scan(tmp_path).case)


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEG-lossy.dcm", "image_dfl.dcm"]
)
def test_damaged_bytes_raise_errors_of_ours_only(name: str, tmp_path: Path) -> None:
    original = Path(str(get_testdata_file(name))).read_bytes()
    chance = random.Random(name)
    for _ in range(40):
        data = bytearray(original)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        (tmp_path / "x").write_bytes(data)
        found = making.scan(tmp_path)
        assert len(found.files()) == 1
        for case in found.cases:
            with contextlib.suppress(SegcliError):
                making.read(case, max_pixels=2_000_000)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_can_be_asked(head: bytes) -> None:
    assert FORMAT.recognises(head) in (True, False)
    assert FORMAT.recognises(b"\0" * 128 + b"DICM" + head)


def test_big_endian_data_set_without_preamble(tmp_path: Path) -> None:
    image = making.stack(making.phantom(1))[0]
    values = making.stored_values(image)
    image.PixelData = values.astype(">u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    bare = Dataset({tag: image[tag] for tag in image.keys()})  # noqa: SIM118
    bare.save_as(tmp_path / "a", implicit_vr=False, little_endian=False, enforce_file_format=False)
    pixels = making.read(making.scan(tmp_path).case).pixels
    assert np.array_equal(pixels[0, 0], values.astype(int) - 1024)


def test_select_takes_keywords_of_dicom_only(tmp_path: Path) -> None:
    for number, name in enumerate(("Lung 1.5", "Bone[2]")):
        for index, image in enumerate(making.stack(making.phantom(3), series=f"{making.ROOT}.{number + 4}")):
            image.SeriesDescription = name
            making.save(image, tmp_path / f"{number}{index}")
    assert len(making.scan(tmp_path).cases) == 2
    for pairs in ((("seriesdescription", "lung*"),), (("SeriesDescription", "Bone[2]"), ("modality", "ct"))):
        found = making.scan(tmp_path, pairs)
        assert len(found.cases) == 1
        assert [entry.reason for entry in found.left_out] == ["not chosen by --select"]
        assert len(found.files()) == 6
    assert len(making.scan(tmp_path, (("SeriesDescription", "a"), ("SeriesDescription", "*"))).cases) == 2
    with pytest.raises(UsageError, match="Nonsense"):
        FORMAT.keywords(ElementRequest((("Nonsense", "1"),)))
