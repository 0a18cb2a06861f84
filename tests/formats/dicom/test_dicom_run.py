"""The command line on DICOM, with two models that find something in any picture; what it says and leaves behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import dicom_making as making
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from segcli.cli.main import run

TOYS = Path(__file__).parents[2] / "toys"
MARK = "ZQXMARKZQX"
DIGITS = "777123777123777"
"""Stands in UIDs, where letters may not."""

OURS = frozenset({"Modality", "ImageType", "PhotometricInterpretation", "SpecificCharacterSet", "TransferSyntaxUID"})
TEXTS = {"LO", "SH", "ST", "LT", "UT", "UC", "PN", "CS", "AE", "UR"}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The two plugins installed, and a folder with a model of each."""
    monkeypatch.syspath_prepend(TOYS)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    from threshold_toys import save  # noqa: PLC0415 - on the path only now

    save(tmp_path / "models")
    yield tmp_path / "models"
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("toy", "found"), [("brighter", lambda z: z > 0.5), ("darker", lambda z: z < -0.5)], ids=["brighter", "darker"]
)
def test_the_mask_is_the_one_worked_out_by_hand(
    toy: str, found: Callable[[np.ndarray], np.ndarray], toys: Path, tmp_path: Path
) -> None:
    values = making.phantom(5, 70, 90)
    images = making.stack(values)
    making.save_all(images, tmp_path / "in")
    assert run(["predict", str(tmp_path / "in"), "-m", str(toys / toy), "-o", str(tmp_path / "out")]) == 0
    (seg,) = (tmp_path / "out").glob("SEG_*.dcm")
    expected = found((values - values.mean()) / values.std())
    masks = making.mask_by_source(seg)
    assert expected.any()
    for image, mask in zip(images, expected, strict=True):
        segments = masks.get((image.SOPInstanceUID, 0), {})
        assert np.array_equal(segments.get(1, np.zeros_like(mask)), mask)


@pytest.mark.parametrize("options", [[], ["--spacing", "1,1"]])
def test_a_spacing_that_was_given_is_none_that_strict_misses(toys: Path, tmp_path: Path, options: list[str]) -> None:
    stack = making.stack(making.phantom(3))
    lone = making.stack(making.phantom(1, rows=30))[0]
    for image in (*stack, lone):
        del image.PixelSpacing
    del lone.ImagePositionPatient, lone.ImageOrientationPatient, lone.FrameOfReferenceUID
    lone.Modality, lone.SeriesInstanceUID = "CR", UID(f"{lone.SeriesInstanceUID}.1")
    lone.SOPInstanceUID = lone.file_meta.MediaStorageSOPInstanceUID = UID(f"{lone.SOPInstanceUID}.1")
    lone.SOPClassUID = lone.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    making.save_all(stack, tmp_path / "in" / "stack")
    making.save(lone, tmp_path / "in" / "lone" / "image")
    command = ["predict", str(tmp_path / "in"), "-m", str(toys / "brighter"), "-o", str(tmp_path / "out"), "--strict"]
    run([*command, "--any-modality", *options])
    cases = json.loads((tmp_path / "out" / "report.json").read_text())["cases"]
    assert {case["name"]: case["status"] for case in cases} == dict.fromkeys(
        ("lone", "stack"), "done" if options else "failed"
    )
    assert all(("spacing" in " ".join(case["warnings"])) is not bool(options) for case in cases)


def test_inspect_says_what_predict_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = making.stack(making.phantom(8))
    del images[3]
    making.save_all(images, tmp_path / "in" / "ct")
    report = making.stack(making.phantom(1))[0]
    report.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.11")
    del report.PixelData, report.Rows
    making.save(report, tmp_path / "in" / "report")
    assert run(["inspect", str(tmp_path / "in"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (case,) = found["cases"]
    assert case["format"] == "dicom" and case["shape"] == [7, 24, 20] and case["orientation"] == "LPS"
    assert case["transfer_syntax"] == "1.2.840.10008.1.2.1" and case["files"] == 7
    assert any("non-uniform spacing" in text for text in case["warnings"])
    assert found["left_out"][0]["status"] == "skipped" and "Basic Text SR" in found["left_out"][0]["reason"]
    assert found["counts"] == {"cases": 1, "skipped": 1, "failed": 0}
    assert run(["inspect", str(tmp_path / "in"), "--select", "Modality=MR"]) == 0
    assert "0 cases, 2 skipped" in capsys.readouterr().out


def marked() -> list[Dataset]:
    """A stack in which every text element of the dictionary, public, nested and private, holds the mark."""
    images = making.stack(making.phantom(4), series=f"1.2.{DIGITS}.2")
    for number, image in enumerate(images):
        image.SOPInstanceUID, image.StudyInstanceUID = UID(f"1.2.{DIGITS}.3.{number}"), UID(f"1.2.{DIGITS}.1")
        image.FrameOfReferenceUID = UID(f"1.2.{DIGITS}.4")
        nested = Dataset()
        for tag, (representation, *_) in DicomDictionary.items():
            keyword = keyword_for_tag(tag)
            if representation not in TEXTS or keyword in OURS or not keyword or tag >> 16 not in range(8, 0x41):
                continue
            if tag >> 16 == 0x28:
                continue  # how pixels are stored
            image.add_new(tag, representation, MARK)
            nested.add_new(tag, representation, MARK)
        nested.private_block(0x0021, MARK, create=True).add_new(0x01, "LO", MARK)
        image.private_block(0x0019, MARK, create=True).add_new(0x01, "LO", MARK)
        image.RequestAttributesSequence = DicomSequence([nested])
        image.ProcedureCodeSequence = DicomSequence([nested])
    return images


def of_another_series(data: bytes, number: int) -> bytes:
    """The file with other series and instance UIDs of the same length."""
    for part in (2, 3):
        data = data.replace(f"{DIGITS}.{part}".encode(), f"{DIGITS}.{number - part}".encode())
    return data


def test_no_text_of_a_header_is_said_or_left_anywhere_but_in_the_seg(
    toys: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "segcli")
    making.save_all(marked(), tmp_path / "in" / "fine")
    for path in making.save_all(marked(), tmp_path / "in" / "broken").iterdir():
        path.write_bytes(of_another_series(path.read_bytes(), 7)[:-500])
    for path in making.save_all(marked(), tmp_path / "in" / "odd").iterdir():
        data = of_another_series(path.read_bytes(), 9).replace(b"20200102", MARK[:8].encode())
        path.write_bytes(data.replace(b"030405", MARK[:6].encode()))
    source, model = str(tmp_path / "in"), str(toys / "brighter")
    for words in (
        ["predict", source, "-m", model, "-o", str(tmp_path / "text"), "-v"],
        ["predict", source, "-m", model, "-o", str(tmp_path / "json"), "--log-format", "json", "--log-paths"],
        ["predict", source, "-m", model, "-o", str(tmp_path / "none"), "--select", f"PatientName={MARK}"],
        ["inspect", source, "--log-paths"],
        ["inspect", source, "--json"],
    ):
        run(words)
    printed = capfd.readouterr()
    told = [printed.out, printed.err, *caplog.messages]
    segs = 0
    for path in (path for name in ("text", "json", "none") for path in (tmp_path / name).rglob("*")):
        told.append(str(path.relative_to(tmp_path)))
        if path.is_file() and path.suffix == ".dcm":
            segs += 1
            seg = dcmread(path)
            assert seg.PatientName == MARK  # it is the patient's, and stays so
            assert not [element for element in seg.iterall() if element.tag.is_private]
        elif path.is_file():
            told.append(path.read_bytes().decode("latin-1"))
    assert segs and "done" in printed.out
    for text in told:
        assert MARK[:6] not in text and DIGITS not in text
