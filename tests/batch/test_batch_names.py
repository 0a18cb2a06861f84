"""Names that hurt: each file ends as one line, its mask lies under the output folder, and one bad name fails alone."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile

from segcli.cli.main import run

Predict = Callable[..., int]
NASTY = [
    b"new\nline.png",
    b"bell\x07 and \x1b[31mred.png",
    b"\xff\xfe no UTF-8.png",
    "right-to-left \u202egnp.png".encode(),
    b"CON.png",
    b"-o.png",
    b"--help",
    b"back\\slash.png",
    b"[bold]markup.png",
    b"=1+1.png",
    b"space at the end.png ",
    b"x" * 251 + b".png",
    b"manifest.jsonl",
    b"report.json",
    b"volumes.csv",
    b"report.png",
]
PIXELS = np.random.default_rng(0).integers(0, 255, (40, 36), dtype=np.uint8)


def cases_of(output: Path) -> dict[str, Any]:
    """What the report says, by name."""
    return {case["name"]: case for case in json.loads((output / "report.json").read_text())["cases"]}


@pytest.fixture
def nasty(pictures: Path) -> Path:
    """The three pictures and, of each name above, one more; ``manifest.jsonl`` holds a PNG, not a manifest."""
    data = (pictures / "a.png").read_bytes()
    for name in NASTY:
        Path(os.fsdecode(os.fsencode(pictures) + b"/" + name)).write_bytes(data)
    return pictures


@pytest.mark.parametrize("options", [[], ["--log-paths"], ["--log-format", "json", "--log-paths"]])
def test_a_nasty_name_is_a_case_like_any_other(
    predict: Predict, nasty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert predict(*options) == 0
    told = capsys.readouterr().out
    assert told.isascii() or told.replace("\n", "").isprintable()
    cases = cases_of(tmp_path / "out")
    assert set(cases) == {os.fsdecode(name) for name in NASTY} | {"a.png", "b.png", "sub/c.png"}
    for name, case in cases.items():
        assert case["output"] == (name if name.endswith(".png") else f"{name}.png")
        assert (tmp_path / "out" / case["output"]).is_file()
    assert sum("done" in line for line in told.splitlines()) >= len(cases)
    assert predict() == 0
    assert {case["status"] for case in cases_of(tmp_path / "out").values()} == {"unchanged"}


OURS = ("manifest.jsonl", "manifest-1-of-2.jsonl", "report.json", "report.html", "volumes.csv", ".segcli-key")


@pytest.mark.parametrize("name", OURS)
def test_a_folder_named_as_a_file_of_ours_fails_alone(
    predict: Predict, pictures: Path, tmp_path: Path, name: str
) -> None:
    (pictures / name).mkdir()
    (pictures / name / "d.png").write_bytes((pictures / "a.png").read_bytes())
    assert predict() == (0 if name.startswith(".") else 1)
    cases = cases_of(tmp_path / "out")
    assert [cases[done]["status"] for done in ("a.png", "b.png", "sub/c.png")] == ["done"] * 3
    told = cases[name] if name.startswith(".") else cases[f"{name}/d.png"]
    assert ("a hidden folder" if name.startswith(".") else "rename the folder") in told["reason"]


def test_pipes_and_sockets_named_as_files_of_ours_hinder_nothing(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)  # the path of a socket may be 108 bytes long
    for name in OURS:
        os.mkfifo(name)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"sub/{name}")
    done = subprocess.run(  # a hang must not become one of the tests
        [sys.executable, "-m", "segcli", "inspect", str(pictures), "--log-paths"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(picture in done.stdout for picture in ("a.png", "b.png", "c.png"))


def test_a_mask_whose_name_would_be_too_long_says_so(predict: Predict, pictures: Path, tmp_path: Path) -> None:
    long = "y" * 253
    (pictures / long).write_bytes((pictures / "a.png").read_bytes())
    assert predict() == 1
    case = cases_of(tmp_path / "out")[long]
    assert case["status"] == "failed" and "rename the input" in case["reason"]


def volumes(folder: Path) -> list[str]:
    """One file of each volume format and a TIFF, their names no UTF-8."""
    volume = sitk.GetImageFromArray(PIXELS.astype(np.int16)[np.newaxis])
    names = []
    for suffix in (".mha", ".nrrd"):
        sitk.WriteImage(volume, str(folder / f"plain{suffix}"))
        (folder / f"plain{suffix}").rename(folder / f"\udcff{suffix}")
        names.append(f"\udcff{suffix}")
    nifti = nibabel.Nifti1Image(PIXELS[..., np.newaxis].astype(np.int16), np.eye(4))
    (folder / "\udcff.nii").write_bytes(nifti.to_bytes())
    stream = io.BytesIO()
    tifffile.imwrite(stream, PIXELS, photometric="minisblack")
    (folder / "\udcff.tif").write_bytes(stream.getvalue())
    return [*names, "\udcff.nii", "\udcff.tif"]


def test_names_that_are_no_utf8_in_other_formats(predict: Predict, pictures: Path, tmp_path: Path) -> None:
    names = volumes(pictures)
    assert predict() == 0
    cases = cases_of(tmp_path / "out")
    assert {cases[name]["status"] for name in names} == {"done"}


def test_an_output_folder_whose_name_is_no_utf8_does_not_kill_the_run(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(PIXELS.astype(np.int16)[np.newaxis]), str(pictures / "v.mha"))
    output = tmp_path / "out\udcff"
    command = [sys.executable, "-m", "segcli", "predict", "in", "-m", str(model), "-o", output.name, "--device", "cpu"]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert {case["status"] for case in cases_of(output).values()} == {"done"}


def test_names_that_differ_in_case_only_both_fail_and_hear_why(
    predict: Predict, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "A.png").write_bytes((pictures / "b.png").read_bytes())
    assert predict() == 1
    cases = cases_of(tmp_path / "out")
    assert "rename one of the two" in cases["a.png"]["reason"] and cases["A.png"]["reason"] == cases["a.png"]["reason"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_log_that_cannot_hold_every_letter_ends_no_run(
    model: Path, pictures: Path, tmp_path: Path, encoding: str
) -> None:
    (pictures / "a.png").rename(pictures / "Łódź.png")
    command = [sys.executable, "-m", "segcli", "predict", "in", "-m", str(model), "-o", "out", "--log-paths"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "Łódź.png".encode(encoding, "backslashreplace") in done.stdout


def test_an_input_called_dot_dot_has_its_real_name(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures / "sub")
    assert run(["predict", "..", "-m", str(model), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/sub/c.png").is_file() and (tmp_path / "out/a.png").is_file()
