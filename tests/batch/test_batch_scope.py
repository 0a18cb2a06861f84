"""An image of another kind than the model was trained on is not segmented; --any-scope segments it with a warning."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from segcli import segment
from segcli.cli.main import run
from segcli.contract import Scope
from segcli.errors import SegcliError
from segcli.model_folder import load_model_folder, load_weights, save_model_folder
from segcli.settings import PredictSettings

CROPS = Scope(((20, 40), (40, 58), (31, 40)), ((20, 40), (40, 58), (31, 40)), ((1, 1),) * 3, ("BRAIN", "HEAD"))
ON_AXIAL_MM = {"spacing": (1.0, 1.0), "orientation": "LPS"}
TRAINED = "the model was trained on 40-58 × 31-40 mm"
Make = Callable[..., Path]


@pytest.fixture
def scoped(threshold_model: Path, tmp_path: Path) -> Make:
    """The threshold model of a card with a scope."""

    def make(name: str = "model", **card: Any) -> Path:
        plain = load_model_folder(threshold_model)
        changed = replace(plain.card, **{"scope": CROPS, "schema": 2, **ON_AXIAL_MM, **card})
        save_model_folder(tmp_path / name, changed, load_weights(plain))
        return tmp_path / name

    return make


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def nifti(path: Path, shape: tuple[int, ...], step: float = 1.0, turn: str = "LPS", units: int = 2) -> None:
    """``shape``: columns, rows, slices[, times]; ``turn``: towards what they increase."""
    axes = np.zeros((4, 4))
    for column, letter in enumerate(turn):
        axis = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        axes[axis, column] = step if letter in "RAS" else -step
    axes[3, 3] = 1
    image = nib.Nifti1Image(noise(*shape), axes)
    image.header["xyzt_units"] = units
    nib.save(image, path)


def series(folder: Path, shape: tuple[int, int, int], body_part: str | None = None, step: float = 1.0) -> None:
    """An axial MR series: ``shape`` is slices, rows, columns."""
    folder.mkdir()
    for number, plane in enumerate(noise(*shape), 1):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.1", "1.2.2", "1.2.4"
        data.Modality, data.PatientID, data.PatientName, data.StudyDate = "MR", "p", "p", "20200101"
        data.StudyTime, data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "000000", "", "", ""
        data.PatientBirthDate, data.PatientSex, data.SeriesNumber, data.InstanceNumber = "", "", 1, number
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number * step]
        data.PixelSpacing, data.SliceThickness, data.SamplesPerPixel = [step, step], step, 1
        data.PhotometricInterpretation, (data.Rows, data.Columns) = "MONOCHROME2", plane.shape
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = plane.tobytes() + b"\0" * (plane.size % 2)
        if body_part is not None:
            data.BodyPartExamined = body_part
        data.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def predict(source: Path, model: Path, *options: str, output: str = "out") -> tuple[int, list[dict[str, Any]]]:
    """Exit code and the cases of the report, by name."""
    folder = source.parent / output
    code = run(["predict", str(source), "-m", str(model), "-o", str(folder), "--device", "cpu", *options])
    cases = json.loads((folder / "report.json").read_text())["cases"]
    return code, sorted(cases, key=lambda case: str(case["name"]))


def test_a_whole_head_is_skipped_with_what_it_is_and_the_run_says_3(
    scoped: Make, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nifti(source / "head.nii", (181, 217, 4))
    code, (case,) = predict(source, scoped())
    assert code == 3
    assert case["status"] == "skipped" and case["error"] is None
    assert case["reason"] == f"out of scope: field of view 217 × 181 mm, {TRAINED}"
    assert not (source.parent / "out/head.nii").exists()
    assert "--any-scope segments all" in capsys.readouterr().err


def test_in_one_range_for_all_sides_the_range_stands_once(scoped: Make, source: Path) -> None:
    nifti(source / "head.nii", (230, 230, 3))
    model = scoped(scope=Scope(field_of_view_mm=((32, 60), (32, 60))))
    _, (case,) = predict(source, model)
    assert case["reason"] == "out of scope: field of view 230 × 230 mm, the model was trained on 32-60 mm"


def test_a_crop_beside_a_head_is_done_and_the_run_says_0(scoped: Make, source: Path) -> None:
    nifti(source / "crop.nii", (36, 50, 30))
    nifti(source / "head.nii", (120, 120, 30))
    code, cases = predict(source, scoped())
    assert code == 0
    assert [case["status"] for case in cases] == ["done", "skipped"]


def test_a_failure_beside_heads_is_still_a_failure(scoped: Make, source: Path) -> None:
    nifti(source / "head.nii", (120, 120, 30))
    Pillow.fromarray(noise(50, 36)).save(source / "broken.png")
    (source / "broken.png").write_bytes((source / "broken.png").read_bytes()[:90])
    assert predict(source, scoped())[0] == 4


def test_a_picture_states_no_mm_so_its_pixels_are_compared(scoped: Make, source: Path) -> None:
    Pillow.fromarray(noise(256, 256)).save(source / "slice.png")
    code, (case,) = predict(source, scoped())
    assert code == 3
    reason = "out of scope: field of view 256 × 256 pixels, the model was trained on 40-58 × 31-40 pixels"
    assert case["reason"] == reason


def test_spacing_on_the_command_line_counts(scoped: Make, source: Path) -> None:
    Pillow.fromarray(noise(200, 160)).save(source / "slice.png")
    assert predict(source, scoped())[0] == 3
    assert predict(source, scoped(), "--spacing", "0.25,0.25", output="fine")[0] == 0
    code, (case,) = predict(source, scoped(), "--spacing", "1,1", output="coarse")
    assert (code, case["reason"]) == (3, f"out of scope: field of view 200 × 160 mm, {TRAINED}")


IN_SCOPE: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "crop": ((36, 50, 4), {}),
    "no units": ((36, 50, 4), {"units": 0}),  # they are mm then
    "metres": ((36, 50, 4), {"step": 0.001, "units": 1}),
    "fine": ((140, 200, 2), {"step": 0.25}),
    "large matrix, small pixels": ((500, 700, 2), {"step": 0.08}),
    "axes permuted": ((30, 36, 50), {"turn": "SLP"}),
    "sagittal acquisition": ((50, 30, 36), {"turn": "PIR"}),
    "sagittal, other sides": ((36, 50, 30), {"turn": "PIR"}),
    "two time points": ((36, 50, 3, 2), {}),
    "many time points": ((36, 50, 5, 25), {}),  # 125 planes in the header, none too many
}
OUT_OF_SCOPE: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "head": ((120, 140, 3), {}),
    "few pixels of a head": ((36, 50, 3), {"step": 4.0}),
    "slab of a head in sagittal slices": ((217, 181, 30), {"turn": "PIR"}),
    "three sagittal slices": ((217, 181, 3), {"turn": "PIR"}),
    "column through a head": ((36, 50, 200), {}),
    "head, two time points": ((120, 140, 2, 2), {}),
    "splinter": ((10, 50, 30), {}),
}


def test_volumes(scoped: Make, source: Path) -> None:
    for name, (shape, options) in {**IN_SCOPE, **OUT_OF_SCOPE}.items():
        nifti(source / f"{name}.nii", shape, **options)
    _, cases = predict(source, scoped())
    by_status = {
        case["name"].removesuffix(".nii"): "in" if case["status"] in ("done", "empty") else case["status"]
        for case in cases
    }
    assert by_status == dict.fromkeys(IN_SCOPE, "in") | dict.fromkeys(OUT_OF_SCOPE, "skipped")
    assert all("out of scope" in case["reason"] for case in cases if case["status"] == "skipped")


def test_one_part_outside_is_the_whole_case_outside(scoped: Make, source: Path) -> None:
    with tifffile.TiffWriter(source / "pages.tif") as file:
        file.write(noise(50, 36))
        file.write(noise(256, 256))
    code, (case,) = predict(source, scoped())
    assert code == 3
    assert "256 × 256 pixels" in case["reason"]
    assert not (source.parent / "out/pages.tif").exists()


def test_units_of_a_tiff_are_mm(scoped: Make, source: Path) -> None:
    tifffile.imwrite(
        source / "crop.tif", noise(500, 360), imagej=True, resolution=(10, 10), metadata={"unit": "mm"},
    )  # fmt: skip
    tifffile.imwrite(source / "head.tif", noise(50, 36), imagej=True, resolution=(0.2, 0.2), metadata={"unit": "mm"})
    _, cases = predict(source, scoped())
    assert cases[0]["status"] != "skipped"
    assert cases[1]["reason"] == f"out of scope: field of view 250 × 180 mm, {TRAINED}"


def test_any_scope_runs_it_and_says_so_in_report_and_seg(scoped: Make, source: Path) -> None:
    series(source / "head", (3, 120, 120))
    assert predict(source, scoped())[0] == 3
    code, (case,) = predict(source, scoped(), "--any-scope", output="all")
    assert (code, case["status"]) == (0, "done")
    said = f"out of scope: field of view 120 × 120 mm, {TRAINED}; segmented all the same (--any-scope)"
    assert said in case["warnings"]
    seg = dcmread(source.parent / "all" / case["output"])
    assert seg.SeriesDescription.startswith("OUT OF SCOPE: ") and seg.ContentDescription.startswith("OUT OF SCOPE: ")
    assert seg.ImageComments == said.replace("×", "x")


def test_any_scope_changes_no_mask_of_an_image_in_scope(scoped: Make, source: Path) -> None:
    series(source / "crop", (3, 50, 36))
    _, (plain,) = predict(source, scoped())
    _, (asked,) = predict(source, scoped(), "--any-scope", "--strict", output="all")
    assert plain["sha256"] == asked["sha256"] and not asked["warnings"]


def test_a_folder_begun_without_any_scope_is_not_mixed_with_it(scoped: Make, source: Path) -> None:
    nifti(source / "crop.nii", (36, 50, 30))
    nifti(source / "head.nii", (120, 120, 30))
    model = scoped()
    assert predict(source, model)[0] == 0
    assert predict(source, model, "--any-scope")[0] == 2
    code, cases = predict(source, model, "--any-scope", "--overwrite")
    assert code == 0 and [case["status"] for case in cases] == ["done", "done"]
    assert predict(source, model)[0] == 2  # or the mask of the head would pass for one like any other
    code, cases = predict(source, model, "--any-scope")
    assert [case["status"] for case in cases] == ["unchanged", "unchanged"]
    assert "out of scope" in cases[1]["warnings"][-1]


def test_nothing_was_made_so_any_scope_may_follow_in_the_same_folder(scoped: Make, source: Path) -> None:
    nifti(source / "head.nii", (120, 120, 30))
    model = scoped()
    assert predict(source, model)[0] == 3
    assert predict(source, model, "--any-scope")[0] == 0


def test_what_was_skipped_stays_skipped_when_the_run_is_repeated(scoped: Make, source: Path) -> None:
    nifti(source / "crop.nii", (36, 50, 30))
    Pillow.fromarray(noise(256, 256)).save(source / "slice.png")
    for _ in range(2):
        code, cases = predict(source, scoped())
        assert (code, cases[1]["status"]) == (0, "skipped")


def test_another_body_part_is_skipped_and_not_shown(
    scoped: Make, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series(source / "a", (3, 50, 36), "SMITH")
    code, (case,) = predict(source, scoped())
    assert (code, case["reason"]) == (3, "out of scope: body part, the model was trained on BRAIN, HEAD")
    told = capsys.readouterr()
    kept = "".join(path.read_text() for path in (source.parent / "out").iterdir() if path.is_file())
    assert "SMITH" not in told.out + told.err + kept


@pytest.mark.parametrize("stated", [None, "HEAD", "HEADNECK"])
def test_its_own_body_part_or_none(scoped: Make, source: Path, stated: str | None) -> None:
    series(source / "a", (3, 50, 36), stated)
    assert predict(source, scoped())[0] == 0


def test_planes_are_compared_where_nothing_is_turned(scoped: Make, source: Path) -> None:
    nifti(source / "crop.nii", (50, 30, 36), turn="PIR")
    model = scoped(scope=Scope(planes=("axial", "coronal")), spacing=None, orientation=None)
    code, (case,) = predict(source, model)
    reason = "out of scope: plane sagittal, the model was trained on axial, coronal"
    assert (code, case["reason"]) == (3, reason)


def test_a_card_of_schema_1_compares_nothing(threshold_model: Path, source: Path) -> None:
    nifti(source / "head.nii", (120, 120, 3))
    assert predict(source, threshold_model)[0] == 0


def test_segment_refuses_as_predict_does(scoped: Make) -> None:
    head = noise(120, 120)
    with pytest.raises(SegcliError, match="out of scope: field of view 120 × 120 mm, the model was trained on"):
        segment(head, scoped(), spacing=(1.0, 1.0))
    with pytest.warns(UserWarning) as told:
        segment(head, scoped(), spacing=(1.0, 1.0), settings=PredictSettings(any_scope=True))
    assert any("out of scope: field of view 120 × 120 mm" in str(warning.message) for warning in told)
