"""Mixed folders in: every file ends in exactly one case or one left-out entry, each with its reason."""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segcli.case import Case, LeftOut, Scan
from segcli.errors import UsageError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan

sys.path.insert(0, str(Path(__file__).parent / "dicom"))
import dicom_making as making

KEY = b"k" * 32


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(1) as pool:
        yield pool


def png(value: int = 0) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels = zlib.compress(bytes([0, value, value]) * 3)
    header = struct.pack(">IIBBBBB", 2, 3, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def reasons(found: Scan) -> dict[str, tuple[str, str]]:
    return {entry.name: (entry.status, entry.reason) for entry in found.left_out}


def outputs(found: Scan) -> list[str]:
    return [str(case.output) for case in found.cases]


def test_a_mixed_folder(readers: Readers, tmp_path: Path) -> None:
    folder = put(
        tmp_path / "in",
        {
            "a.png": png(),
            "sub/b.dat": png(),
            "cut.png": png()[:20],
            "notes.txt": b"hello",
            "empty.png": b"",
            ".DS_Store": b"\0\0",
        },
    )
    making.save_all(making.stack(making.phantom()), folder / "ct")
    found = scan([folder], ScanOptions(KEY), readers)
    dicom = next(case for case in found.cases if case.format == "dicom")
    assert outputs(found) == ["a.png", f"ct/SEG_{dicom.id}.dcm", "sub/b.dat.png"]
    assert (dicom.name, dicom.modality, len(dicom.files)) == ("ct", "CT", 6)
    left = reasons(found)
    assert left.pop("cut.png")[0] == "failed"
    assert left == {
        ".DS_Store": ("skipped", "a hidden file"),
        "empty.png": ("skipped", "not an image (an empty file)"),
        "notes.txt": ("skipped", "not an image (text)"),
    }


def test_ids_depend_on_key_and_name_below_the_input_not_on_where_it_lies(readers: Readers, tmp_path: Path) -> None:
    here, there = (put(tmp_path / place / "in", {"a.png": png(), "t.txt": b"x"}) for place in "12")
    first, second = (scan([folder], ScanOptions(KEY), readers) for folder in (here, there))
    assert [case.id for case in first.cases] == [case.id for case in second.cases]
    assert [entry.id for entry in first.left_out] == [entry.id for entry in second.left_out]
    assert len({len(case.id) for case in first.cases} | {12}) == 1
    [other] = scan([here], ScanOptions(b"another"), readers).cases
    assert other.id != first.cases[0].id


def test_composed_and_decomposed_names_have_one_id(readers: Readers, tmp_path: Path) -> None:
    ids = []
    for place, name in (("1", "é.png"), ("2", "e\u0301.png")):
        [case] = scan([put(tmp_path / place / "in", {name: png()})], ScanOptions(KEY), readers).cases
        ids.append(case.id)
    assert ids[0] == ids[1]


def test_channel_files_are_one_case_only_where_all_are_there(readers: Readers, tmp_path: Path) -> None:
    names = ("p_0000.png", "p_0001.png", "q_0000.png", "r_0000.dat", "r_0001.dat", "s_0000.png", "s_0001.PNG")
    folder = put(tmp_path / "in", {name: png(number) for number, name in enumerate(names)})
    assert len(scan([folder], ScanOptions(KEY), readers).cases) == len(names)
    found = scan([folder], ScanOptions(KEY, channels=2), readers)
    assert outputs(found) == ["p.png", "q_0000.png", "r.dat.png", "s_0000.png", "s_0001.PNG"]
    pair = found.cases[0]
    assert [path.name for path in pair.files] == ["p_0000.png", "p_0001.png"]
    [image] = readers.submit_read(pair, ReadRequest(channels=("T1", "T2"))).result(20).parts
    assert image.pixels.shape == (1, 2, 3, 2)
    assert np.unique(image.pixels[0, 0]).tolist() == [0] and np.unique(image.pixels[0, 1]).tolist() == [1]


def test_a_broken_channel_file_fails_its_case_whole(readers: Readers, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"p_0000.png": png(), "p_0001.png": png()[:20]})
    found = scan([folder], ScanOptions(KEY, channels=2), readers)
    [entry] = found.left_out
    assert (found.cases, entry.name, entry.status, len(entry.files)) == ((), "p.png", "failed", 2)


def test_a_data_file_belongs_to_the_header_that_names_it(readers: Readers, tmp_path: Path) -> None:
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\nElementDataFile = a.raw\n"
    folder = put(tmp_path / "in", {"a.mhd": header, "a.raw": bytes(range(24)), "b.raw": b"\0"})
    found = scan([folder], ScanOptions(KEY), readers)
    [case] = found.cases
    assert (str(case.output), [path.name for path in case.files]) == ("a.mhd.mha", ["a.mhd", "a.raw"])
    assert list(reasons(found)) == ["b.raw"]
    before = readers.submit_read(case, ReadRequest()).result(20).digest
    (folder / "a.raw").write_bytes(bytes(24))
    assert readers.submit_read(case, ReadRequest()).result(20).digest != before


def test_a_header_cannot_reach_out_of_the_input_through_a_link(readers: Readers, tmp_path: Path) -> None:
    header = b"ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\nElementDataFile = a.raw\n"
    put(tmp_path, {"in/a.mhd": header, "secret": bytes(24)})
    (tmp_path / "in/a.raw").symlink_to(tmp_path / "secret")
    found = scan([tmp_path / "in"], ScanOptions(KEY), readers)
    assert found.cases == () and reasons(found)["a.mhd"][0] == "failed"
    assert len(scan([tmp_path / "in"], ScanOptions(KEY, follow_links=True), readers).cases) == 1


def test_another_modality_is_skipped_by_name(readers: Readers, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"a.png": png()})
    making.save_all(making.stack(making.phantom()), folder)
    found = scan([folder], ScanOptions(KEY, modality="MR"), readers)
    assert outputs(found) == ["a.png"]  # a source without modality runs
    [entry] = found.left_out
    assert "modality CT, the model is for MR" in entry.reason and len(entry.files) == 6
    assert len(scan([folder], ScanOptions(KEY, modality="MR", any_modality=True), readers).cases) == 2
    assert len(scan([folder], ScanOptions(KEY, modality="CT"), readers).cases) == 2


def test_select_is_about_dicom_and_leaves_the_rest_out(readers: Readers, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"a.png": png()})
    making.save_all(making.stack(making.phantom()), folder)
    found = scan([folder], ScanOptions(KEY, select=(("modality", "c*"),)), readers)
    assert [case.format for case in found.cases] == ["dicom"]
    assert "--select" in reasons(found)["a.png"][1]
    found = scan([folder], ScanOptions(KEY, select=(("Modality", "MR"),)), readers)
    assert found.cases == ()
    with pytest.raises(UsageError, match="no DICOM keyword"):
        scan([folder], ScanOptions(KEY, select=(("Nonsense", "1"),)), readers)


def test_what_is_still_arriving_waits_with_its_whole_series(readers: Readers, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"old.png": png(), "young.png": png()[:20], "young.txt": b"x"})
    making.save_all(making.stack(making.phantom()), folder / "ct")
    in_an_hour = time.time() + 3600  # the time of change cannot be set back
    for path in (folder / "young.png", folder / "young.txt", sorted((folder / "ct").iterdir())[-1]):
        os.utime(path, (in_an_hour, in_an_hour))
    options = ScanOptions(KEY, settle=600, now=in_an_hour)
    found = scan([folder], options, readers)
    assert outputs(found) == ["old.png"]
    assert {(entry.status, entry.reason.split(":")[0]) for entry in found.left_out} == {("skipped", "still arriving")}
    assert Counter(path for entry in found.left_out for path in entry.files).most_common(1)[0][1] == 1
    last = sorted((folder / "ct").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:200])  # so little has arrived that nobody knows its series
    os.utime(last, (in_an_hour, in_an_hour))
    assert outputs(scan([folder], options, readers)) == ["old.png"]


def test_files_that_cannot_be_opened_fail(readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "in", {"a.png": png(), "b.png": png()})
    open_ = os.open

    def refuse(path: str | Path, *args: int) -> int:
        if Path(path).name == "a.png":
            raise PermissionError(13, "x")
        return open_(path, *args)

    monkeypatch.setattr(os, "open", refuse)
    found = scan([folder], ScanOptions(KEY), readers)
    assert outputs(found) == ["b.png"]
    assert reasons(found) == {"a.png": ("failed", "no permission to read it: check its rights")}


NAMES = st.sampled_from(["a", "b_0000", "b_0001", "b_0002", "C", ".hidden", "é", "x y"])
CONTENTS = st.sampled_from([png(), png()[:20], b"", b"text", b"\xff\xd8\xff", bytes(200), b"II*\0", b"NRRD0004\n"])
PATHS = st.lists(st.tuples(st.lists(NAMES, max_size=2), NAMES, st.sampled_from([".png", "", ".nii.gz"])), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), paths=PATHS, channels=st.integers(1, 3), links=st.lists(NAMES, max_size=2, unique=True))
def test_every_file_ends_in_exactly_one_place(
    readers: Readers, data: st.DataObject, paths: list[tuple[list[str], str, str]], channels: int, links: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "in"
        folder.mkdir()
        for parents, stem, suffix in paths:
            place = folder.joinpath(*(f"{parent}.d" for parent in parents))
            place.mkdir(parents=True, exist_ok=True)
            (place / (stem + suffix)).write_bytes(data.draw(CONTENTS))
        for link in links:
            (folder / f"{link}.link").symlink_to(data.draw(st.sampled_from([".", "..", "nothing", f"{link}.d"])))
        found = scan([folder], ScanOptions(KEY, channels=channels), readers)
        again = scan([folder], ScanOptions(KEY, channels=channels), readers)
        entries: list[Case | LeftOut] = [*found.cases, *found.left_out]
        ends = Counter(path for entry in entries for path in entry.files)
        expected = {path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
        inside_hidden = {p for p in expected if any(x.startswith(".") for x in p.relative_to(folder).parts[:-1])}
        assert set(ends.values()) <= {1}
        assert {path for path in ends if not path.is_symlink() and path.is_file()} == expected - inside_hidden
        assert len({entry.id for entry in entries}) == len(entries)
        assert found == again
