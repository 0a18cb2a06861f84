"""What may be written where, and what a second run leaves alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import picture

from segcli.batch.plan import default_output
from segcli.case import Case
from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.errors import UsageError
from segcli.formats.atomic import Target, Written, write_mask
from segcli.formats.readers import Readers
from segcli.model_folder import save_model_folder

Predict = Callable[..., int]
Statuses = Callable[[], dict[str, str]]


def hashes(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*.png"))}


def test_masks_mirror_the_input(predict: Predict, tmp_path: Path) -> None:
    assert predict() == 0
    assert set(hashes(tmp_path / "out")) == {"a.png", "b.png", "sub/c.png"}


def test_the_second_run_finds_all_unchanged(predict: Predict, statuses: Statuses, tmp_path: Path) -> None:
    predict()
    first = hashes(tmp_path / "out")
    assert predict() == 0
    assert set(statuses().values()) == {"unchanged"}
    assert hashes(tmp_path / "out") == first


def test_a_lost_mask_and_a_changed_one_are_made_again(predict: Predict, statuses: Statuses, tmp_path: Path) -> None:
    predict()
    first = hashes(tmp_path / "out")
    (tmp_path / "out/a.png").unlink()
    (tmp_path / "out/b.png").write_bytes(b"damaged")
    assert predict() == 0
    assert statuses()["sub/c.png"] == "unchanged"
    assert "unchanged" not in (statuses()["a.png"], statuses()["b.png"])
    assert hashes(tmp_path / "out") == first


@pytest.mark.parametrize("runs", [1, 2])
def test_a_strangers_file_is_never_replaced(predict: Predict, statuses: Statuses, tmp_path: Path, runs: int) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_bytes(b"a stranger's")
    for _ in range(runs):
        assert predict() == 1
    assert (tmp_path / "out/a.png").read_bytes() == b"a stranger's"
    assert statuses()["a.png"] == "failed"


def test_an_identical_file_may_stay(predict: Predict, statuses: Statuses, tmp_path: Path) -> None:
    predict()
    for name in ("manifest.jsonl", "report.json"):
        (tmp_path / "out" / name).unlink()
    assert predict() == 0
    assert "failed" not in statuses().values()


def test_two_cases_of_one_output_both_fail(predict: Predict, pictures: Path, statuses: Statuses) -> None:
    (pictures / "A.PNG").write_bytes((pictures / "b.png").read_bytes())
    assert predict() == 1
    assert (statuses()["a.png"], statuses()["A.PNG"], statuses()["b.png"]) == ("failed", "failed", "empty") or (
        statuses()["a.png"] == statuses()["A.PNG"] == "failed" and statuses()["b.png"] == "done"
    )


def test_other_settings_want_another_folder(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict()
    before = (tmp_path / "out/manifest.jsonl").read_bytes()
    assert predict("--png-mask", "grey") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == before


def test_overwrite_redoes_with_other_settings_and_remembers_them(
    predict: Predict, statuses: Statuses, tmp_path: Path
) -> None:
    predict()
    assert predict("--png-mask", "grey", "--overwrite") == 0
    assert "unchanged" not in statuses().values()
    assert predict("--png-mask", "grey") == 0
    assert set(statuses().values()) == {"unchanged"}


def test_an_overwrite_that_died_goes_on_without_mixing_settings(
    predict: Predict, statuses: Statuses, tmp_path: Path
) -> None:
    predict()
    predict("--png-mask", "grey", "--overwrite")
    manifest = tmp_path / "out/manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    last_header = max(number for number, line in enumerate(lines) if b"segcli_manifest" in line)
    manifest.write_bytes(b"".join(lines[: last_header + 1]))  # killed before its first outcome
    assert predict("--png-mask", "grey") == 0  # all masks are ours still, and all are made again
    assert "unchanged" not in statuses().values() and "failed" not in statuses().values()


def test_retry_failed_does_only_those(predict: Predict, pictures: Path, statuses: Statuses) -> None:
    good = (pictures / "b.png").read_bytes()
    (pictures / "b.png").write_bytes(good[:50])
    assert predict() == 1
    (pictures / "b.png").write_bytes(good)
    (pictures / "a.png").unlink()
    picture(pictures / "a.png", 9)  # changed, but it had not failed
    assert predict("--retry-failed") == 0
    assert statuses() == {"b.png": "done"}
    assert predict("--retry-failed") == 0  # nothing left to retry is no error
    assert statuses() == {}


def test_a_touched_input_is_read_once_more(predict: Predict, pictures: Path, statuses: Statuses) -> None:
    """It alone, and the new time is remembered."""
    predict()
    asked: list[str] = []

    class Counting(Readers):
        def submit_read(self, case: Case, *rest: Any) -> Any:
            asked.append(case.name)
            return super().submit_read(case, *rest)

    (pictures / "a.png").touch()
    for _ in range(2):
        assert predict(readers=Counting) == 0
        assert set(statuses().values()) == {"unchanged"}
    assert asked == ["a.png"]


def test_verify_sees_a_change_that_size_and_time_hide(predict: Predict, pictures: Path, statuses: Statuses) -> None:
    predict()
    path = pictures / "a.png"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-12] + bytes(12))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    predict()
    assert statuses()["a.png"] == "unchanged"
    predict("--verify")
    assert statuses()["a.png"] != "unchanged"


def test_shards_share_a_folder_and_miss_nothing(predict: Predict, tmp_path: Path) -> None:
    assert [predict("--shard", f"{i}/3") for i in (1, 2, 3)] == [0, 0, 0]
    assert set(hashes(tmp_path / "out")) == {"a.png", "b.png", "sub/c.png"}
    assert (tmp_path / "out/manifest-2-of-3.jsonl").is_file()


def test_nothing_is_written_into_an_input(predict: Predict, pictures: Path) -> None:
    assert predict(output=pictures) == 2
    assert predict(output=pictures / "masks") == 2
    assert not (pictures / "masks").exists()


def test_a_mask_that_would_land_in_the_input_stops_the_run(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = tmp_path / "in/in"  # mirrored below tmp_path, its masks would lie in the input
    inner.mkdir()
    shutil.copy(tmp_path / "in/a.png", inner / "d.png")
    assert predict(output=tmp_path) == 2
    assert "inside an input" in capsys.readouterr().err
    assert [path.name for path in inner.iterdir()] == ["d.png"]


@pytest.mark.parametrize("options", [["--device", "cuda:99"], ["--gate", "0.5"], ["--precision", "float16"]])
def test_a_mistake_in_the_options_leaves_no_folder(predict: Predict, tmp_path: Path, options: list[str]) -> None:
    assert predict(*options) == 2
    assert not (tmp_path / "out").exists()


def test_a_run_that_made_nothing_does_not_bind_the_next(model: Path, pictures: Path, tmp_path: Path) -> None:
    command = ["predict", str(pictures / "a.png"), "-m", str(model), "-o", str(tmp_path / "out")]
    assert run([*command[:1], str(pictures / "a.png"), *command[1:]]) == 2  # the same name twice
    assert run([*command, "--png-mask", "grey"]) == 0


def test_an_image_without_modality_runs_with_a_note_that_strict_lets_pass(
    tmp_path: Path, pictures: Path, threshold_model: Path
) -> None:
    card = tmp_path / "mr" / "config.json"
    shutil.copytree(threshold_model, card.parent)
    card.write_text(json.dumps({**json.loads(card.read_text()), "modality": "MR"}))
    assert run(["predict", str(pictures), "-m", str(card.parent), "-o", str(tmp_path / "out"), "--strict"]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    notes = {tuple(case["warnings"]) for case in report["cases"]}
    assert notes == {("the image states no modality, the model is for MR",)}


def test_the_current_folder_is_called_by_its_real_name(
    model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures.parent / "t").mkdir()
    shutil.copy(pictures / "a.png", pictures.parent / "t/x.png")
    monkeypatch.chdir(pictures)
    assert run(["predict", ".", "../t", "-m", str(model), "-o", ".."]) == 2


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("scan.v1.png", "scan.v1_masks"),
        ("1.2.840.dcm", "1.2.840_masks"),
        ("1.2.840", "1.2.840_masks"),
        ("a.nii.gz", "a_masks"),
        ("b.ome.tif", "b_masks"),
        (".hidden", ".hidden_masks"),
    ],
)
def test_without_an_output_folder_the_masks_lie_beside_the_file(tmp_path: Path, name: str, folder: str) -> None:
    (tmp_path / name).touch()
    assert default_output(tmp_path / name) == tmp_path / folder


def test_the_root_folder_needs_an_output_folder() -> None:
    with pytest.raises(UsageError, match="give -o"):
        default_output(Path("/"))


def test_several_inputs_must_not_be_mirrored_onto_themselves(model: Path, pictures: Path) -> None:
    inputs = [str(pictures / "sub"), str(pictures / "a.png")]
    assert run(["predict", *inputs, "-m", str(model), "-o", str(pictures)]) == 2


def test_versions_alone_make_cases_anew_without_an_error(predict: Predict, statuses: Statuses) -> None:
    predict()
    assert predict(version=lambda name: "99") == 0
    assert "unchanged" not in statuses().values()


def test_the_manifest_holds_one_json_object_a_line(predict: Predict, tmp_path: Path) -> None:
    predict()
    for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines():
        assert not line or isinstance(json.loads(line), dict)


def test_strict_writes_no_mask_for_a_case_with_a_warning(tmp_path: Path, pictures: Path) -> None:
    folder = tmp_path / "spaced"
    plugin = load_catalog().find("unet").plugin
    card = dataclasses.replace(plugin.example(), spacing=(1.0, 1.0))  # a PNG states no spacing: a warning
    save_model_folder(folder, card, plugin.build(card).state_dict())
    code = run(
        ["predict", str(pictures), "-m", str(folder), "-o", str(tmp_path / "out"), "--device", "cpu", "--strict"]
    )
    assert code == 4
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_writer_that_stumbles_over_one_case_fails_that_case_alone(
    predict: Predict, statuses: Statuses, tmp_path: Path
) -> None:
    def stumbling(target: Target, case: Case, *rest: Any) -> Written:
        if case.name == "a.png":
            raise ValueError("Doe^Jane")
        return write_mask(target, case, *rest)

    assert predict(write_mask=stumbling) == 1
    assert statuses() == {"a.png": "failed", "b.png": "done", "sub/c.png": "done"}
    assert "Doe" not in (tmp_path / "out/report.json").read_text()
