"""``segcli.predict`` runs as the command does, and its options are looked at as closely."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_masks import nifti

import segcli
from segcli.errors import UsageError
from segcli.settings import PredictSettings


def test_predict_returns_the_report_of_the_command(threshold_model: Path, tmp_path: Path) -> None:
    nifti(tmp_path, "a.nii.gz", np.random.default_rng(9).random((18, 20, 7)).astype(np.float32))
    (tmp_path / "in/torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = segcli.predict(str(tmp_path / "in"), model=segcli.load_model(threshold_model))
    assert isinstance(report, segcli.Report)
    assert (report.counts, report.exit_code) == ({"done": 1, "failed": 1}, 1)
    (done,) = (outcome for outcome in report.outcomes if outcome.status == "done")
    assert isinstance(done, segcli.Outcome)
    assert (tmp_path / "in_masks" / str(done.output)).is_file()  # beside the input, as the command has it
    assert (tmp_path / "in_masks/report.json").is_file()
    again = segcli.predict([tmp_path / "in"], tmp_path / "in_masks", model=threshold_model)
    assert again.counts == {"unchanged": 1, "failed": 1}


def test_predict_says_nothing_and_runs_where_no_signal_handler_can_be_set(
    threshold_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nifti(tmp_path, "a.nii.gz", np.random.default_rng(9).random((18, 20, 7)).astype(np.float32))
    model = segcli.load_model(threshold_model)
    with ThreadPoolExecutor(1) as thread:  # Python sets signal handlers in the main thread only
        report = thread.submit(segcli.predict, tmp_path / "in", tmp_path / "out", model=model).result()
    assert report.exit_code == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overlaps": 0.5}, "no option 'overlaps': did you mean overlap?"),
        ({"jobs": 2}, "no option 'jobs'"),
        ({"overlap": 2.0}, "overlap=2.0"),
        ({"overlap": float("nan")}, "overlap=nan"),
        ({"gate": "on"}, "gate='on'"),
        ({"gate": True}, "gate=True"),
        ({"precision": "float64"}, "precision='float64'"),
        ({"batch": 0}, "batch=0"),
        ({"batch": 2**16 + 1}, "batch=65537"),
        ({"batch": True}, "batch=True"),
        ({"strict": "yes"}, "strict='yes'"),
        ({"memory": "2G"}, "memory='2G'"),
        ({"shard": (3, 2)}, r"shard=\(3, 2\)"),
        ({"spacing": [1, 1]}, r"spacing=\[1, 1\]"),
        ({"select": (("Modality",),)}, "select="),
        ({"case_timeout": 0.5}, "case_timeout=0.5"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_an_option_that_is_none_or_makes_no_sense_is_refused_by_name(
    threshold_model: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    nifti(tmp_path, "a.nii", np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(UsageError, match=words):
        segcli.predict(tmp_path / "in", tmp_path / "out", model=threshold_model, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("inputs", "output"), [(3, "out"), (b"in", "out"), (["in", None], "out"), ("in", 3)])
def test_what_is_no_path_is_refused_by_its_kind(threshold_model: Path, inputs: Any, output: Any) -> None:
    with pytest.raises(UsageError, match=r"is no path, but an? (int|bytes|NoneType)"):
        segcli.predict(inputs, output, model=threshold_model)


def test_predict_refuses_what_the_command_refuses(threshold_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for inputs, output, words in (
        (tmp_path / "in", tmp_path / "in/out", "inside the input"),
        (tmp_path / "nowhere", tmp_path / "out", "no such file or folder"),
        ([tmp_path / "in", tmp_path], None, "need an output folder"),
        ([], tmp_path / "out", "no input"),
    ):
        with pytest.raises(UsageError, match=words):
            segcli.predict(inputs, output, model=threshold_model)
    assert segcli.predict(tmp_path / "in", tmp_path / "out", model=threshold_model).exit_code == 3


def test_every_field_of_the_settings_may_be_given_as_its_default(threshold_model: Path) -> None:
    from segcli.checked_settings import settings_from  # noqa: PLC0415

    defaults = {name: getattr(PredictSettings(), name) for name in PredictSettings.__dataclass_fields__}
    assert settings_from(defaults) == PredictSettings()


@pytest.mark.parametrize("option", ["select", "spacing", "shard", "memory", "batch", "channel"])
def test_a_value_in_the_words_of_the_command_line_is_told_what_python_wants(option: str) -> None:
    given: Any = {"select": "Modality=MR", "spacing": "1,1", "shard": "1/2", "memory": "2G", "batch": "auto"}
    with pytest.raises(UsageError, match=rf"{option}=.* makes no sense, it wants for example ") as caught:
        segcli.predict("in", "out", model="unet", **{option: given.get(option, 0)})
    example = str(caught.value).split("for example ")[1].split(": see")[0].split(", or ")[0].split(", a ")[0]
    PredictSettings(**{option: ast.literal_eval(example)} if "*" not in example else {})
