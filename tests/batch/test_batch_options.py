"""Options of ``segcli predict`` through the command itself: which cases they let in, and how the masks are written."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pictures import picture
from PIL import Image

from segcli.cli.main import run

Call = Callable[..., dict[str, Any]]
SERIES = Path(__file__).parents[2] / "sample_data" / "mr_series"
pytestmark = pytest.mark.usefixtures("one_reader")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Five slices of an MR series and a picture beside it."""
    folder = tmp_path / "in"
    (folder / "mr").mkdir(parents=True)
    for source in sorted(SERIES.glob("*.dcm"))[:5]:
        shutil.copy(source, folder / "mr")
    picture(folder / "a.png", 1)
    return folder


@pytest.fixture
def cases(model: Path, series: Path, tmp_path: Path) -> Call:
    """``cases("--strict", modality="CT", code=3)``: what the report says of each case, by name."""

    def call(*options: str, code: int = 0, modality: str | None = None, output: str = "out") -> dict[str, Any]:
        folder = tmp_path / f"model for {modality}"
        if not folder.exists():
            shutil.copytree(model, folder)
            card = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**card, "modality": modality}))
        command = ["predict", str(series), "-m", str(folder), "-o", str(tmp_path / output), "--device", "cpu"]
        assert run([*command, *options]) == code
        report = json.loads((tmp_path / output / "report.json").read_text())
        return {case["name"]: case for case in report["cases"]}

    return call


def test_another_modality_is_skipped_unless_any_is_wanted(cases: Call, tmp_path: Path) -> None:
    found = cases(modality="CT")
    assert found["mr"]["status"] == "skipped" and "MR" in found["mr"]["reason"]
    assert found["a.png"]["status"] == "done"  # states none
    found = cases("--any-modality", modality="CT", output="any")
    assert found["mr"]["status"] == "done"
    told = "other modality: MR, the model is for CT; segmented all the same (--any-modality)"
    assert told in found["mr"]["warnings"] and told not in found["a.png"]["warnings"]
    (seg,) = (tmp_path / "any").rglob("SEG_*.dcm")
    assert pydicom.dcmread(seg).SeriesDescription.startswith("OTHER MODALITY: ")
    cases(modality="CT", output="any", code=2)  # such masks never lie among those of the model's own modality


def test_select_takes_series_by_their_elements(cases: Call) -> None:
    assert {name: case["status"] for name, case in cases("--select", "modality=M*").items()} == {
        "mr": "done",
        "a.png": "skipped",
    }
    assert cases("--select", "Modality=MR", "--select", "Modality=CT", output="or")["mr"]["status"] == "done"
    found = cases("--select", "Modality=MR", "--select", "Manufacturer=nobody", code=3, output="and")
    assert {case["status"] for case in found.values()} == {"skipped"}


def test_files_still_arriving_are_skipped(cases: Call, series: Path) -> None:
    assert {case["status"] for case in cases("--settle", "3600", code=3).values()} == {"skipped"}
    assert "still arriving" in cases("--settle", "3600", code=3)["mr"]["reason"]


def test_a_link_out_of_the_input_is_followed_only_if_asked(cases: Call, series: Path, tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere.png", 2)
    (series / "link.png").symlink_to(tmp_path / "elsewhere.png")
    assert cases()["link.png"]["status"] == "skipped"
    assert cases("--follow-links")["link.png"]["status"] == "done"


def test_a_missing_slice_is_a_warning_or_a_failure(cases: Call, series: Path) -> None:
    names = sorted((series / "mr").iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    names[2].unlink()
    found = cases()["mr"]
    assert found["status"] == "done" and any("missing" in warning for warning in found["warnings"])
    for options in (("--gaps", "error"), ("--strict",)):
        refused = cases(*options, code=1, output=options[0])["mr"]
        assert refused["status"] == "failed" and f"refused by {' '.join(options)}" in refused["reason"]


def test_one_channel_of_a_colour_picture(cases: Call, series: Path, tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    colours = chance.integers(0, 255, (40, 36, 3), dtype=np.uint8)
    Image.fromarray(colours).save(series / "rgb.png")
    for channel in range(3):
        Image.fromarray(colours[..., channel]).save(series / f"only {channel}.png")
    found = {}
    for channel, code in (("0", 0), ("2", 1)):  # what is grey has no channel 2
        cases("--channel", channel, code=code, output=channel)
        found[channel] = np.asarray(Image.open(tmp_path / channel / "rgb.png"))
    cases(output="alone")
    for channel, mask in found.items():
        alone = np.asarray(Image.open(tmp_path / "alone" / f"only {channel}.png"))
        assert np.array_equal(mask, alone) and alone.any()


def test_dicom_objects_of_each_kind(cases: Call, tmp_path: Path) -> None:
    kinds = {}
    for options in ((), ("--dicom-seg", "labelmap"), ("--dicom-deflate",)):
        output = "".join(options) or "plain"
        mask = pydicom.dcmread(tmp_path / output / cases(*options, output=output)["mr"]["output"])
        kinds[output] = (mask.SegmentationType, mask.file_meta.TransferSyntaxUID.name)
    assert kinds["plain"] == ("BINARY", "Explicit VR Little Endian")
    assert kinds["--dicom-seglabelmap"][0] == "LABELMAP"
    assert kinds["--dicom-deflate"] == ("BINARY", "Deflated Explicit VR Little Endian")


def test_private_files_are_nobody_elses(cases: Call, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        cases("--private")
        cases(output="open")
    finally:
        os.umask(before)
    for folder, files, folders in (("out", 0o600, 0o700), ("open", 0o644, 0o755)):
        for path in (tmp_path / folder, *(tmp_path / folder).rglob("*")):
            if path.name.startswith("."):
                continue  # the secret and the lock are private always
            assert stat.S_IMODE(path.stat().st_mode) == (folders if path.is_dir() else files), path


def test_private_closes_the_books_of_an_earlier_run(cases: Call, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        cases()
        cases("--private")
    finally:
        os.umask(before)
    for name in ("manifest.jsonl", "report.json", "report.html", "volumes.csv"):  # they name the files of the input
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600, name


def test_the_gate_is_the_cards_or_off_and_overlap_makes_more_tiles(tmp_path: Path) -> None:
    """The shipped model on noise, of which its gate turns tiles away."""
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (160, 160), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in/a.png")
    tiles = {}
    for options in (("--gate", "auto"), ("--gate", "off"), ("--overlap", "0"), ("--overlap", "0.75")):
        output = tmp_path / options[1]
        command = ["predict", str(tmp_path / "in"), "-m", "unet", "-o", str(output), "--device", "cpu", "--any-scope"]
        assert run([*command, *options]) == 0
        (case,) = json.loads((output / "report.json").read_text())["cases"]
        tiles[options[1]] = (case["tiles"], case["tiles_gated"])
    assert tiles["auto"][1] > 0 == tiles["off"][1] and tiles["auto"][0] == tiles["off"][0]
    assert tiles["0"][0] < tiles["0.75"][0]
