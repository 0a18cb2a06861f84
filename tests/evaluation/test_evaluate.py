"""Folders of masks against each other: pairing, what is missing, what a gate costs, tables."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segcli.cli.main import run
from segcli.errors import UnsupportedError
from segcli.evaluation.align import align
from segcli.evaluation.run_report import run_report
from segcli.formats.mask_files import MaskFile, key_of
from segcli.geometry import Geometry
from segcli.image import LabelMap
from segcli.pairing.masks import MaskPair


def save(path: Path, labels: np.ndarray, step: float = 2.0) -> None:
    """``[slice, row, column]``, 1 × 1 × ``step`` mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.transpose(2, 1, 0).astype(np.uint8), np.diag([1.0, 1.0, step, 1.0])), path)


def block(rows: int, last: int = 0) -> np.ndarray:
    """Three slices of 8 × 8: label 1 on ``rows`` rows of the middle one, ``last`` pixels of it on the last one."""
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, :rows, :4] = 1
    labels[2, 0, :last] = 1
    return labels


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """References a, b and the empty c; predictions with a gate, and without (``free``)."""
    for name, rows in (("a", 4), ("b", 2), ("c", 0)):
        save(tmp_path / f"labelsTr/{name}.nii.gz", block(rows))
    for folder, false in (("with", 0), ("free", 5)):
        save(tmp_path / folder / "a_0000.nii.gz", block(4, false))
        save(tmp_path / folder / "b_0000.nii.gz", block(0) if folder == "with" else block(2))
        save(tmp_path / folder / "c_0000.nii.gz", block(0, false))
    description = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}}
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    return tmp_path


def evaluated(folders: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, object]]:
    code = run(["evaluate", str(folders / "with"), str(folders / "labelsTr"), "--json", "--no-surface", *options])
    return code, json.loads(capsys.readouterr().out)


def test_every_reference_is_scored_with_and_without_the_gate(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = evaluated(folders, capsys, "--without-gate", str(folders / "free"))
    assert code == 0
    gated, free = found["predictions"], found["without_gate"]
    assert gated["labels"]["tumour"]["dice"] == 0.5  # a is found, b is missed, c does not count
    assert gated["labels"]["tumour"]["dice_with_empty"] == pytest.approx(2 / 3, abs=1e-5)
    assert (gated["images"]["specificity"], free["images"]["specificity"]) == (1.0, 0.0)
    assert (gated["slices"]["empty"], gated["slices"]["specificity"]) == (7, 1.0)
    assert free["slices"]["false_positive_mm3"]["total"] == 2 * 5 * 2.0
    assert gated["slices"]["sensitivity"] == 0.5
    assert found["found_pixels_lost_to_gate"] == {"tumour": pytest.approx(8 / 24, abs=1e-5)}


def test_a_reference_without_a_prediction_fails_and_is_not_dropped(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "with/b_0000.nii.gz").unlink()
    code, found = evaluated(folders, capsys)
    assert code == 1
    assert (found["failed"], found["predictions"]["cases"]) == (1, 2)
    assert list(found["failed_cases"].values()) == ["there is no prediction for it"]
    code, found = evaluated(folders, capsys, "--only-predicted")
    assert (code, found["failed"], found["left_out"]) == (0, 0, 1)


def test_another_grid_is_a_failure_of_that_case(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(folders / "with/b_0000.nii.gz", np.zeros((3, 8, 9)))
    save(folders / "with/c_0000.nii.gz", block(0), step=3.0)
    code, found = evaluated(folders, capsys, "--log-paths")
    assert code == 1
    assert "3 × 8 × 9" in found["failed_cases"]["b"]
    assert "position" in found["failed_cases"]["c"]


def test_tables_and_pictures(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folders / "out"
    arguments = ["evaluate", str(folders / "with"), str(folders / "labelsTr"), "-o", str(out)]
    assert run([*arguments, "--without-gate", str(folders / "free")]) == 0
    shown = capsys.readouterr().out
    assert "tumour" in shown and "3 scored, 0 failed" in shown
    rows = list(csv.DictReader((out / "cases.csv").read_text().splitlines()))
    assert [(row["case"], row["label"], row["dice"]) for row in rows] == [
        ("a", "tumour", "1"), ("b", "tumour", "0"), ("c", "tumour", ""),
    ]  # fmt: skip
    assert (rows[0]["predicted_mm3"], rows[0]["hd95"], rows[0]["nsd"], rows[2]["empty_image"]) == ("32", "0", "1", "1")
    assert json.loads((out / "evaluation.json").read_text())["without_gate"]["cases"] == 3
    for name in ("dice.png", "false_positives.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert (out / "cases_without_gate.csv").is_file()


def test_a_log_holds_no_names(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "labelsTr/smith.nii.gz").write_bytes((folders / "labelsTr/a.nii.gz").read_bytes())
    arguments = ["evaluate", str(folders / "with"), str(folders / "labelsTr"), "--no-surface"]
    assert run(arguments) == 1
    assert "smith" not in capsys.readouterr().out
    assert run([*arguments, "--log-paths"]) == 1
    assert "smith" in capsys.readouterr().out


def test_an_empty_folder_is_2(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "nothing").mkdir()
    assert run(["evaluate", str(folders / "nothing"), str(folders / "labelsTr"), "--no-surface"]) == 2
    assert "holds no mask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "key"),
    [("a.nii.gz", "a"), ("x/a_0000.nii.gz", "x/a"), ("a.jpg.png", "a"), ("v1.2_b.png", "v1.2_b"), (".png", ".png")],
)
def test_what_a_case_is_called(name: str, key: str) -> None:
    from pathlib import PurePosixPath  # noqa: PLC0415

    assert key_of(PurePosixPath(name)) == key


def seg(sources: list[str], heights: list[float], rows: int) -> LabelMap:
    """A SEG's label map: the slices that have frames, each with ``rows`` labelled rows."""
    pixels = np.zeros((len(sources), 4, 4), np.uint8)
    pixels[:, :rows] = 1
    axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    positions = tuple((0.0, 0.0, height) for height in heights)
    return LabelMap(pixels, Geometry((0.5, 0.5), None, axes, positions), {"sources": [[uid, 0] for uid in sources]})


def test_segs_are_laid_over_each_other_by_their_source_images() -> None:
    (found,) = align([seg(["b", "c"], [3.0, 6.0], 1)], [seg(["a", "b"], [0.0, 3.0], 2)], slices=10)
    assert found.predicted.sum(axis=(1, 2)).tolist() == [0, 4, 4, *[0] * 7]
    assert found.reference.sum(axis=(1, 2)).tolist() == [8, 8, *[0] * 8]
    assert found.spacing == (3.0, 0.5, 0.5)
    (found,) = align([seg(["a", "d"], [0.0, 9.0], 1)], [seg(["b"], [3.0], 1)])
    assert found.predicted.any(axis=(1, 2)).tolist() == [True, False, False, True]  # c has no frame, but a place
    (found,) = align([seg(["b"], [3.0], 1)], [seg(["a"], [0.0], 2)])
    assert len(found.predicted) == 2
    assert "not known" in found.notes[0]


def test_parts_must_agree() -> None:
    mask = LabelMap(np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(UnsupportedError, match="2 parts"):
        align([mask, mask], [mask])


def relabelled(folders: Path, name: str, number: int) -> None:
    """The references of ``folders`` with label ``number`` for 1, in the folder ``name``, where nothing names labels."""
    for letter, rows in (("a", 4), ("b", 2), ("c", 0)):
        save(folders / name / f"{letter}.nii.gz", block(rows) * number)


def test_labels_that_do_not_meet_are_hinted_at_and_mapped(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relabelled(folders, "other/labels", 255)
    command = ["evaluate", str(folders / "with"), str(folders / "other/labels"), "--no-surface"]
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "predictions hold the label 1, references hold 255: if they mean the same, give --map 255=1" in shown
    assert run([*command, "--map", "255=1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "notes" not in found
    assert found["predictions"]["labels"]["label 1"]["dice"] == 0.5  # as with references of the number 1
    assert run([*command, "--map", "1=255", "--label", "255=tumour", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"]["labels"]["tumour"]["dice"] == 0.5


def test_labels_may_be_merged_or_counted_as_background(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relabelled(folders, "other/three", 3)
    both = block(4) * 3
    both[1, :2, :2] = 2
    save(folders / "other/three/a.nii.gz", both)
    command = ["evaluate", *2 * [str(folders / "other/three")], "--no-surface", "--json"]
    assert run([*command, "--map", "2=300", "--map", "3=300"]) == 0
    assert list(json.loads(capsys.readouterr().out)["predictions"]["labels"]) == ["label 300"]
    assert run([*command, "--map", "2=0"]) == 0
    assert list(json.loads(capsys.readouterr().out)["predictions"]["labels"]) == ["label 3"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--map", "255"], "not NUMBER=OTHER"),
        (["--map", "255=x"], "not NUMBER=OTHER"),
        (["--map", "70000=1"], "not NUMBER=OTHER"),
        (["--map", "-1=1"], "not NUMBER=OTHER"),
        (["--map", "0=1"], "0 is background"),
        (["--map", "1=1"], "changes nothing"),
        (["--map", "2=1", "--map", "2=3"], "2 is mapped to 1 already"),
        (["--map", "2=1", "--map", "1=3"], "give each its final number"),
        (["--map", "1=9", "--label", "1=tumour"], "does not occur any more"),
        (["--map", "254=1"], "no mask holds 254"),
        (["--label", "1=x", "--label", "2=x"], "two labels have the same name"),
    ],
)
def test_a_senseless_map_is_2(
    folders: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    command = ["evaluate", str(folders / "with"), str(folders / "labelsTr"), "--no-surface", "-o", str(folders / "o")]
    assert run([*command, *options]) == 2
    assert words in capsys.readouterr().err
    assert not (folders / "o").exists()


def test_a_log_names_cases_by_the_ids_of_predict_and_says_where_their_names_are(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        {"output": "b_0000.nii.gz", "id": "0123456789ab", "shape": [3, 8, 8]},
        {"output": "c_0000.nii.gz", "id": "x"},
    ]
    (folders / "with/report.json").write_text(json.dumps({"cases": cases}))
    (folders / "with/a_0000.nii.gz").unlink()
    command = ["evaluate", str(folders / "with"), str(folders / "labelsTr"), "--no-surface"]
    assert run(command) == 1
    shown = capsys.readouterr().out
    assert "0123456789ab" in shown and "case 3" in shown  # the third reference, however many failed
    assert "failed case 1: there is no prediction for it" in shown
    assert "-o writes a cases.csv that tells which case is which; --log-paths shows" in shown
    assert run([*command, "-o", str(folders / "out")]) == 1
    rows = csv.DictReader((folders / "out/cases.csv").read_text().splitlines())
    assert [(row["case"], row["id"]) for row in rows] == [("b", "0123456789ab"), ("c", "case 3")]


def test_pipes_are_passed_over_and_linked_folders_entered(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(folders / "with/report.json")
    os.mkfifo(folders / "with/pipe.nii.gz")
    (folders / "elsewhere").mkdir()
    (folders / "with/b_0000.nii.gz").rename(folders / "elsewhere/b_0000.nii.gz")
    (folders / "with/linked").symlink_to(folders / "elsewhere")
    (folders / "elsewhere/round").symlink_to(folders / "with")
    code, found = evaluated(folders, capsys)
    assert (code, found["predictions"]["cases"]) == (0, 3)


def test_an_accent_is_one_letter_however_it_is_put_together(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(folders / "labelsTr/caf\u00e9.nii.gz", block(1))
    save(folders / "with/cafe\u0301.nii.gz", block(1))
    code, found = evaluated(folders, capsys)
    assert (code, found["predictions"]["cases"]) == (0, 4)


def test_a_report_that_announces_a_billion_slices_is_not_believed(folders: Path) -> None:
    cases = [{"output": "a.dcm", "shape": [10**9, 8, 8]}, {"output": "b.dcm", "shape": [7, 8, 8]}]
    (folders / "with/report.json").write_text(json.dumps({"cases": cases}))
    assert dict(run_report(folders / "with").slices) == {folders / "with/b.dcm": 7}
    near_and_far = seg(["a", "b", "c"], [0.0, 0.002, 5000.0], 1)
    (found,) = align([near_and_far], [near_and_far])
    assert len(found.predicted) == 3


def test_masks_of_one_name_in_two_folders_are_two_cases(tmp_path: Path) -> None:
    cases = [
        {"output": "a.png", "id": "a" * 12, "shape": [1, 8, 8]},
        {"output": "b/a.png", "id": "b" * 12, "shape": [2, 8, 8]},
    ]
    (tmp_path / "report.json").write_text(json.dumps({"cases": cases}))
    report = run_report(tmp_path)
    for output, identifier, slices in (("b/a.png", "b" * 12, 2), ("a.png", "a" * 12, 1)):
        mask = MaskFile("png", tmp_path / output, output)
        pair = MaskPair(output, mask, mask)
        assert (report.id_of(pair), report.slices_of(pair)) == (identifier, slices)
