"""No header value but modality, sizes, spacing, orientation, positions and kinds of object leaves the SEG itself."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import dicom_making as making
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from segcli.errors import CaseError
from segcli.formats.dicom.format import FORMAT
from segcli.formats.dicom.quiet import reduced
from segcli.settings import PredictSettings

CANARY = "CANARY"


def canaries(count: int = 4) -> list[Dataset]:
    """A stack full of identifying values, some of which break the rules of their VR so that libraries quote them."""
    images = making.stack(making.phantom(count))
    for image in images:
        image.PatientName, image.PatientID = f"{CANARY}NAME^A", f"{CANARY}ID"
        image.AccessionNumber, image.StudyID = f"{CANARY}ACC", f"{CANARY}STU"
        image.InstitutionName, image.OperatorsName = f"{CANARY}INST", f"{CANARY}OP"
        image.StationName, image.DeviceSerialNumber = f"{CANARY}STATION", f"{CANARY}SERIAL"
        image.SeriesDescription, image.ProtocolName = f"../{CANARY}/series", f"{CANARY}PROT"
        image.StudyDescription, image.ImageComments = f"{CANARY}STUDY", f"{CANARY}COMMENT"
        image.PerformingPhysicianName = f"{CANARY}PHYS"
        image.PatientBirthDate = "19010203"
        block = image.private_block(0x0019, f"{CANARY}CREATOR", create=True)
        block.add_new(0x01, "LO", f"{CANARY}PRIVATE")
        procedure = Dataset()
        procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "1", "99X", "Chest"
        procedure.private_block(0x0021, f"{CANARY}NESTED", create=True).add_new(0x01, "LO", f"{CANARY}DEEP")
        image.ProcedureCodeSequence = DicomSequence([procedure])
    return images


def broken_values(path: Path) -> None:
    """Put words where numbers, dates and UIDs belong."""
    data = path.read_bytes()
    for old, new in ((b"20200102", b"CANARYDA"), (b"0.8\\0.7 ", b"CANARYDS"), (b"-1024.0 ", b"CANARYXX")):
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)


def shown(folder: Path, select: tuple[tuple[str, str], ...] = ()) -> str:
    """Everything of a scan and a read that the program may print or store."""
    found = making.scan(folder, select)
    texts = [repr((entry.name, entry.id, entry.reason)) for entry in found.left_out]
    texts += [f"{status} {reason}" for _, status, reason in found.refused]
    for case in found.cases:
        texts.append(
            repr((case.id, case.name, str(case.output), case.modality, case.shape, case.spacing, case.orientation))
        )
        texts += case.warnings
        try:
            making.segment(case, folder.parent / f"{case.id}.seg")
        except CaseError as error:
            texts.append(f"{error!r} {error.__cause__!r}")
    return "\n".join(texts)


def test_nothing_is_said_of_a_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    making.save_all(canaries(), tmp_path / "fine")
    for path in making.save_all(canaries(), tmp_path / "odd").iterdir():
        broken_values(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        text = shown(tmp_path / "fine") + shown(tmp_path / "odd") + shown(tmp_path / "fine", (("PatientID", "Z"),))
    printed = capsys.readouterr()
    everything = "\n".join([text, caplog.text, printed.out, printed.err, *(str(item.message) for item in caught)])
    assert CANARY not in everything and "19010203" not in everything
    uids = {str(value) for image in canaries() for value in (image.StudyInstanceUID, image.SeriesInstanceUID)}
    assert not any(uid in everything for uid in uids | {str(image.SOPInstanceUID) for image in canaries()})


def test_the_seg_holds_the_patient_and_nothing_private(tmp_path: Path) -> None:
    case = making.scan(making.save_all(canaries(), tmp_path / "in")).case
    making.segment(case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert seg.PatientName == f"{CANARY}NAME^A" and seg.PatientID == f"{CANARY}ID"
    assert seg.AccessionNumber == f"{CANARY}ACC" and seg.PatientBirthDate == "19010203"
    assert seg.ProcedureCodeSequence[0].CodeMeaning == "Chest"
    data = (tmp_path / "seg").read_bytes()
    for word in ("INST", "OP", "STATION", "SERIAL", "PROT", "COMMENT", "PHYS", "CREATOR", "PRIVATE", "NESTED", "DEEP"):
        assert f"{CANARY}{word}".encode() not in data, word
    assert b"../" not in data
    assert not [element for element in seg.iterall() if element.tag.is_private]


def test_names_are_made_of_hashes_and_paths_only(tmp_path: Path) -> None:
    images = canaries()
    for image in images:
        image.PatientID, image.SeriesInstanceUID = "../../evil", f"{making.ROOT}.2"
    case = making.scan(making.save_all(images, tmp_path / "a" / "b")).case
    assert str(case.output) == f"SEG_{case.id}.dcm" and len(case.id) == 12 and int(case.id, 16) >= 0


def test_a_path_as_series_uid_stays_out_of_names(tmp_path: Path) -> None:
    for path in making.save_all(canaries(), tmp_path / "in").iterdir():
        data, old = path.read_bytes(), f"{making.ROOT}.2".encode()
        path.write_bytes(data.replace(old, b"../x".ljust(len(old), b"/")))
    found = making.scan(tmp_path / "in")
    assert len(found.files()) == 4
    for case in found.cases:
        assert ".." not in case.output.parts and case.output.name == f"SEG_{case.id}.dcm"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Invalid value for VR DA: '1901-02-03'.", "UserWarning (a value of VR DA)"),
        ("The value for StudyDate CANARY is bad", "UserWarning (StudyDate)"),
        ("something Odd about CANARYNAME", "UserWarning"),
    ],
)
def test_library_messages_lose_their_values(message: str, expected: str) -> None:
    assert reduced("UserWarning", message) == expected


def test_the_report_of_settings_names_no_selected_value() -> None:
    assert CANARY not in repr(PredictSettings(select=(("PatientID", CANARY),)).to_report())


def test_deidentified_stays_marked_as_such(tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images:
        image.PatientIdentityRemoved, image.DeidentificationMethod = "YES", "profile"
    making.segment(making.scan(making.save_all(images, tmp_path / "in")).case, tmp_path / "seg")
    seg = dcmread(tmp_path / "seg")
    assert seg.PatientIdentityRemoved == "YES" and seg.DeidentificationMethod == "profile"
    assert FORMAT.read_labels(tmp_path / "seg")[0].pixels.any()


@pytest.mark.parametrize("place", [making.CT, "1.2.840.10008.1.2.1"], ids=["SOP class", "transfer syntax"])
def test_a_name_in_the_place_of_a_uid_is_not_told(place: str, tmp_path: Path) -> None:
    """Both UIDs stand in messages, for they describe the kind of file; but a header may hold anything there."""
    (image,) = making.stack(making.phantom(1))
    path = making.save(image, tmp_path / "a")
    data = path.read_bytes().replace(place.encode(), b"ZQX^MARK".ljust(len(place)))
    path.write_bytes(data[: data.rindex(b"\xe0\x7f\x10\0")] if place == making.CT else data)
    found = making.scan(tmp_path)
    reasons = [reason for *_, reason in found.refused] + [entry.reason for entry in found.left_out]
    assert len(reasons) == 1 and "no UID" in reasons[0] and "ZQX" not in reasons[0]


@pytest.mark.parametrize("stated", ["\x1b[31mCT", "Mueller^Hans", "MUELLER HANS", "CT\\MUELLER"])
def test_what_is_no_code_is_not_told_as_a_modality(stated: str, tmp_path: Path) -> None:
    images = making.stack(making.phantom())
    for image in images:
        making.put_bytes(image, "Modality", "CS", stated.encode())
    case = making.scan(making.save_all(images, tmp_path)).case
    assert case.modality == "?"  # not None: an image without modality goes to any model
