"""From a data set to masks, as a user types it; killed runs; errors in one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sets import nnunet_set, png_set

from segcli.cli.main import run

TINY = ["--option", "base=2", "--steps", "6", "--batch", "4", "--device", "cpu", "--precision", "float32"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set ``set`` and the model ``model`` trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    nnunet_set(folder / "set", 6)
    command = ["train", str(folder / "set"), "-m", "unet3p", "-o", str(folder / "model"), *TINY]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert run([*command, "--group-pattern", r"\d+", "--validate-every", "3", "--deep-supervision"]) == 0
    (folder / "stderr.txt").write_text(said.getvalue())
    return folder


def test_the_model_folder_tells_how_it_was_made(trained: Path) -> None:
    card = json.loads((trained / "model/config.json").read_text())
    assert card["plugin_options"] == {"presence": True, "base": 2, "deep_supervision": False}
    split = card["training"]["split"]
    assert sorted(split["train"] + split["validation"] + split["test"]) == [f"00{n}" for n in range(1, 7)]
    assert (len(split["validation"]), len(split["test"])) == (1, 1)
    assert card["training"]["recipe"]["steps"] == 6
    assert card["training"]["no_gate"] == (
        "Gate not calibrated (needs 200 labelled crops, found 3). The model is complete."
    )
    assert card["gate"] is None
    assert card["metrics"]["test"]["no_gate"]["slices"]["empty"] == 3
    assert load_file(trained / "model/model.safetensors")["heads.0.weight"].dtype == np.float16


def test_a_label_that_is_never_predicted_is_said_loudly_and_stands_in_the_card(trained: Path) -> None:
    card = json.loads((trained / "model/config.json").read_text())
    labels = card["metrics"]["test"]["no_gate"]["labels"]
    assert labels["core"]["missed_cases"] == labels["core"]["cases_with_label"] == 1  # six steps: it finds nothing yet
    warning = next(text for text in card["training"]["warnings"] if "'core' is never predicted" in text)
    assert "1 test case and 1 validation case hold it" in warning
    assert f"WARNING: {warning}" in (trained / "stderr.txt").read_text()


def test_a_label_that_no_held_out_case_holds_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nnunet_set(tmp_path / "set", 3, labels={"background": 0, "square": 1, "core": 2, "unseen": 3})
    command = ["train", str(tmp_path / "set"), "-m", "unet", "-o", str(tmp_path / "model"), *TINY, "--steps", "1"]
    assert run(command) == 0
    assert "no validation or test case holds the label 'unseen'" in capsys.readouterr().err


def test_curves_lie_beside_it_as_numbers_and_pictures(trained: Path) -> None:
    lines = (trained / "model/curves.csv").read_text().splitlines()
    assert lines[0] == "step,loss,dice,specificity,sensitivity,dice square,dice core"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "6"]
    for name in ("curves.png", "gate.png"):
        assert (trained / "model" / name).read_bytes().startswith(b"\x89PNG")
    assert not (trained / "model/checkpoint").exists()


def test_predict_and_evaluate_use_it_at_once(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, masks = trained / "set/imagesTr", trained / "masks"
    assert run(["predict", str(images), "-m", str(trained / "model"), "-o", str(masks)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(masks), str(trained / "set/labelsTr"), "--json", "--no-surface"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predictions"]["cases"] == 6
    assert set(found["predictions"]["labels"]) == {"square", "core"}


def test_a_model_is_not_trained_over(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(trained / "set"), "-m", "unet3p", "-o", str(trained / "model"), *TINY]) == 2
    assert "holds a model already" in capsys.readouterr().err
    assert run(["train", str(trained / "set"), "-m", "unet3p", "-o", str(trained / "set/model"), *TINY]) == 2
    assert "inside the data set" in capsys.readouterr().err


def test_fine_tuning_begins_with_the_models_weights(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = trained / "tuned"
    begin = ["train", str(trained / "set"), "-m", "unet3p", "-o", str(tuned), "--from", str(trained / "model")]
    assert run([*begin, "--option", "base=4"]) == 2
    assert "takes the card of its model" in capsys.readouterr().err
    # a rate this small moves nothing that float16 could show
    assert run([*begin, "--steps", "1", "--batch", "4", "--rate", "1e-9", "--average", "0"]) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (trained / "model", tuned))
    assert all(np.array_equal(before[name], after[name]) for name in before if name.endswith("weight"))
    card = json.loads((tuned / "config.json").read_text())
    assert card["training"]["from"] == json.loads((trained / "model/config.json").read_text())["sha256"]


def test_calibrate_leaves_a_model_alone_where_no_gate_is_found(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "model/config.json").read_bytes()
    arguments = ["calibrate", str(trained / "model"), str(trained / "set"), "--group-pattern", r"\d+"]
    assert run([*arguments, "-o", str(trained / "again")]) == 2
    both = capsys.readouterr()
    assert "Gate not calibrated (needs 200 labelled crops, found 18). The model is complete." in both.out
    assert "nothing was changed" in both.err
    assert not (trained / "again/config.json").exists()
    assert run([*arguments, "-o", str(trained / "none"), "--or-none", "--part", "validation"]) == 0
    card = json.loads((trained / "none/config.json").read_text())
    assert card["training"]["calibration"]["cases"] == 1
    assert (trained / "model/config.json").read_bytes() == before
    assert run(["predict", str(trained / "set/imagesTr"), "-m", str(trained / "none"), "-o", str(trained / "m2")]) == 0


def test_calibrate_says_that_the_card_does_not_name_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        Image.fromarray(np.diag(np.full(48, 255, np.uint8))).save(tmp_path / "set" / folder / "a.png")
    assert run(["calibrate", "unet", str(tmp_path / "set"), "-o", str(tmp_path / "model")]) == 2
    assert "the label 255, which the model's card does not name (named: 1, 2)" in capsys.readouterr().err


def test_the_shipped_model_is_not_changed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "unet3p", str(trained / "set")]) == 2
    assert "give -o" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights_and_curves(tmp_path: Path) -> None:
    nnunet_set(tmp_path / "set", 4)
    options = [*TINY, "--steps", "24", "--checkpoint-every", "3", "--validate-every", "8", "--test", "0"]
    begin = ["train", str(tmp_path / "set"), "-m", "unet", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(
        [sys.executable, "-m", "segcli", *begin, "-o", str(tmp_path / "killed")],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    notes = tmp_path / "killed/checkpoint/checkpoint.json"
    deadline = time.monotonic() + 120
    while not notes.is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert 3 <= json.loads(notes.read_text())["step"] < 24
    assert run([*begin, "-o", str(tmp_path / "killed")]) == 2  # not without a word
    assert run([*begin, "-o", str(tmp_path / "killed"), "--resume"]) == 0
    assert run([*begin, "-o", str(tmp_path / "undisturbed")]) == 0
    for file in ("model.safetensors", "config.json", "curves.csv"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "undisturbed" / file).read_bytes()


def test_png_pairs_need_no_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = png_set(tmp_path / "set", 4)
    command = ["train", str(folder), "-m", "unet", "-o", str(tmp_path / "model"), *TINY, "--label", "255=square"]
    assert run([*command, "--name", "squares"]) == 0
    assert "255 square" in capsys.readouterr().out
    card = json.loads((tmp_path / "model/config.json").read_text())
    assert (card["name"], card["spacing"], card["orientation"], card["tile"]) == ("squares", None, None, [16, 32])
    assert run(["predict", str(folder / "images"), "-m", str(tmp_path / "model"), "-o", str(tmp_path / "masks")]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tile", "20,20"], "--tile 20,20 does not fit"),
        (["--option", "no_such=1"], "no_such"),
        (["--validation", "3", "--test", "3"], "too few"),
        (["--groups", "GROUPS"], "c_001"),
        (["--group-pattern", "x"], "does not match"),
        (["--channels", "a,b"], "--channels names 2"),
        (["--label", "0=background"], "VALUE=NAME"),
        (["--spacing", "1"], "two or three"),
        (["--card", "CARD"], "unknown field 'licence'"),
        (["--precision", "float16"], "--precision"),
    ],
)
def test_a_wrong_option_is_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    nnunet_set(tmp_path / "set", 3)
    (tmp_path / "groups.csv").write_text("c_009,1\n")
    (tmp_path / "card.json").write_text('{"licence": "MIT"}')
    names = {"GROUPS": str(tmp_path / "groups.csv"), "CARD": str(tmp_path / "card.json")}
    chosen = [names.get(option, option) for option in options]
    command = ["train", str(tmp_path / "set"), "-m", "unet", "-o", str(tmp_path / "model"), "--device", "cpu"]
    assert run([*command, *chosen]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert words in lines[-1]
    assert not any("Traceback" in line for line in lines)
    assert not (tmp_path / "model").exists()
