"""A mask is there whole and verified under its name, or what was there before is, and no temporary file is left."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from fake_format import FakeFormat

from segcli.case import Case
from segcli.contract import Label, ModelCard
from segcli.errors import OutputExistsError, UnreadableError, WriteError
from segcli.formats import atomic
from segcli.formats.atomic import Target, is_disk_full, remove_stale_temporaries, write_bytes_atomically, write_mask
from segcli.formats.interface import MaskRequest
from segcli.image import LabelMap
from segcli.settings import PredictSettings

CARD = ModelCard(
    plugin="none",
    name="test",
    version="1",
    license="CC0-1.0",
    spatial_dims=2,
    channels=("grey",),
    labels=(Label(1, "one", (255, 0, 0)),),
    tile=(8, 8),
    overlap=(2, 2),
    margin=(0, 0),
)
REQUEST = MaskRequest(CARD, PredictSettings(), "0")
PRIVATE = MaskRequest(CARD, PredictSettings(private=True), "0")
MASK = LabelMap((np.arange(12, dtype=np.uint8) % 2).reshape(1, 3, 4))
CASE = Case("0123456789ab", "fake", "a.raw", PurePosixPath("deep/er/a.raw"), ())


class RawFormat(FakeFormat):
    """Masks as bare bytes of 3 x 4 pixels; each test spoils one step."""

    error: Exception | None = None
    written: bytes | None = None

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        target.write_bytes(masks[0].pixels.tobytes() if self.written is None else self.written)
        if self.error is not None:
            raise self.error

    def read_labels(self, path: Path, max_pixels: int = 0) -> tuple[LabelMap, ...]:
        return (LabelMap(np.frombuffer(path.read_bytes(), np.uint8).reshape(1, 3, 4).astype(np.uint16)),)


FORMAT = RawFormat()


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FORMAT, "error", None)
    monkeypatch.setattr(FORMAT, "written", None)


def write(output: Path, request: MaskRequest = REQUEST, may_replace: bool = True) -> atomic.Written:
    target = Target(output / CASE.output, output, "token", may_replace)
    return write_mask(target, CASE, [MASK], request, {"fake": f"{__name__}:FORMAT"})


def all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_the_mask_lies_in_its_mirrored_folder_with_its_hash(tmp_path: Path) -> None:
    written = write(tmp_path / "out")
    data = (tmp_path / "out/deep/er/a.raw").read_bytes()
    assert data == MASK.pixels.tobytes()
    assert written == atomic.Written(hashlib.sha256(data).hexdigest(), 12)
    assert all_files(tmp_path) == ["out/deep/er/a.raw"]


def test_writing_far_down_takes_no_longer(tmp_path: Path) -> None:
    """It once took 1.6 s a mask, for each folder on the way was resolved from the root on."""
    case = replace(CASE, output=PurePosixPath(*["folder"] * 400, "a.raw"))
    target = Target(tmp_path / case.output, tmp_path, "token")
    write_mask(target, case, [MASK], REQUEST, {"fake": f"{__name__}:FORMAT"})
    begun = time.process_time()
    for _ in range(5):
        write_mask(target, case, [MASK], REQUEST, {"fake": f"{__name__}:FORMAT"})
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(("request_", "folder", "file"), [(REQUEST, 0o750, 0o640), (PRIVATE, 0o700, 0o600)])
def test_modes_follow_the_umask_or_are_private(tmp_path: Path, request_: MaskRequest, folder: int, file: int) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "out", request_)
    finally:
        os.umask(before)
    for name, mode in [("out", folder), ("out/deep", folder), ("out/deep/er", folder), ("out/deep/er/a.raw", file)]:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode, name


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (OSError(errno.ENOSPC, "x"), WriteError, "disk of the output folder is full"),
        (OSError(errno.EIO, "x"), WriteError, "Input/output error"),
        (RuntimeError("DOE^JANE"), WriteError, "RuntimeError"),
        (UnreadableError("a source has changed"), UnreadableError, "a source has changed"),
    ],
)
def test_after_an_error_the_old_file_is_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception], text: str
) -> None:
    write(tmp_path)
    (tmp_path / CASE.output).write_bytes(b"old")
    monkeypatch.setattr(FORMAT, "error", error)
    with pytest.raises(raised, match=text) as caught:
        write(tmp_path)
    assert "DOE" not in str(caught.value)
    assert is_disk_full(caught.value) == (isinstance(error, OSError) and error.errno == errno.ENOSPC)
    assert (tmp_path / CASE.output).read_bytes() == b"old"
    assert all_files(tmp_path) == [str(CASE.output)]


def test_a_disk_that_is_full_only_at_fsync_is_told_as_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.setattr(atomic.os, "fsync", fsync)
    with pytest.raises(WriteError, match="full") as caught:
        write(tmp_path)
    assert is_disk_full(caught.value) and all_files(tmp_path) == []


def test_a_mask_that_reads_back_differently_never_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FORMAT, "written", bytes(12))
    with pytest.raises(WriteError, match="did not read back"):
        write(tmp_path)
    assert all_files(tmp_path) == []


def test_a_format_with_its_own_verification_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FORMAT, "verify", lambda *_: False)
    with pytest.raises(WriteError, match="did not read back"):
        write(tmp_path)


def test_the_name_changes_only_after_verification_and_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    (tmp_path / CASE.output).write_bytes(b"old")
    seen: list[bytes] = []

    def replace(self: Path, target: Path) -> None:
        seen.append(target.read_bytes())
        assert self.parent == target.parent and self.name.startswith(atomic.TEMPORARY)
        assert self.read_bytes() == MASK.pixels.tobytes()
        os.rename(self, target)  # noqa: PTH104 - the method is what is replaced

    monkeypatch.setattr(Path, "replace", replace)
    write(tmp_path)
    assert seen == [b"old"]
    assert (tmp_path / CASE.output).read_bytes() == MASK.pixels.tobytes()


def test_a_strangers_file_stays_unless_it_is_the_same(tmp_path: Path) -> None:
    first = write(tmp_path)
    assert write(tmp_path, may_replace=False) == first
    (tmp_path / CASE.output).write_bytes(b"stranger")
    with pytest.raises(OutputExistsError, match="did not write"):
        write(tmp_path, may_replace=False)
    assert (tmp_path / CASE.output).read_bytes() == b"stranger"
    assert all_files(tmp_path) == [str(CASE.output)]


def test_a_link_in_the_output_folder_cannot_lead_a_mask_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/deep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WriteError, match="leads out of it"):
        write(tmp_path / "out")
    assert all_files(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("name", ["../a.raw", "deep/../../a.raw", "/tmp/a.raw"])  # noqa: S108 - never written
def test_no_name_leads_out_of_the_output_folder(tmp_path: Path, name: str) -> None:
    output = tmp_path / "out"
    with pytest.raises(WriteError):
        write_mask(Target(output / name, output), CASE, [MASK], REQUEST, {"fake": f"{__name__}:FORMAT"})
    assert all_files(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 251 + ".nii", "x" * 240 + ".nii.gz"])
def test_a_name_as_long_as_the_file_system_allows_is_no_trouble(tmp_path: Path, name: str) -> None:
    write_bytes_atomically(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"


def test_reports_replace_their_forerunner(tmp_path: Path) -> None:
    for text in (b"{}", b'{"a": 1}'):
        assert write_bytes_atomically(tmp_path / "report.json", text, private=True).size == len(text)
        assert (tmp_path / "report.json").read_bytes() == text
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o600
    assert all_files(tmp_path) == ["report.json"]


def test_stale_temporaries_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in (".segcli-tmp-0of2-1.png", "a/.segcli-tmp-0of2-2.nii.gz", "a/.segcli-tmp-1of2-3.png", "a/mask.png"):
        (tmp_path / name).write_bytes(b"")
    assert remove_stale_temporaries(tmp_path, "0of2") == 2
    assert all_files(tmp_path) == ["a/.segcli-tmp-1of2-3.png", "a/mask.png"]
    assert remove_stale_temporaries(tmp_path) == 1
    assert all_files(tmp_path) == ["a/mask.png"]
