"""`segcli calibrate` gives a model without a presence head an empty filter, and `predict` uses it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sets import save_volume

from segcli.cli.main import run

CASES, SLICES, LABELLED = 6, 60, 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``set``: squares of 49 bright pixels on 40 slices of 60, on the others five bright pixels that are no object."""
    with pytest.MonkeyPatch.context() as patch:
        toys = Path(__file__).parents[1] / "toys"
        patch.syspath_prepend(str(toys))
        import threshold_toys  # noqa: PLC0415 - on the path from here on

        folder = tmp_path_factory.mktemp("filter")
        threshold_toys.save(folder)
        for name in ("images", "masks"):
            (folder / "set" / name).mkdir(parents=True)
        for case in range(CASES):
            truth = np.zeros((SLICES, 16, 18), np.uint8)
            truth[:LABELLED, 3:10, 4:11] = 1
            image = truth * 2.0
            image[LABELLED:, 5, 5:10] = 2.0
            save_volume(folder / "set/images" / f"c{case}.nii.gz", image.astype(np.float32))
            save_volume(folder / "set/masks" / f"c{case}.nii.gz", truth)
        yield folder


def masks(folder: Path) -> list[np.ndarray]:
    return [np.asarray(nib.load(path).dataobj) for path in sorted(folder.glob("*.nii.gz"))]


def test_it_is_chosen_by_the_rule_of_the_gate_and_says_that_it_saves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = str(place / "brighter"), str(place / "set")
    assert run(["calibrate", model, data, "-o", str(place / "model"), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "keeps 100.00% of 240 slices with it, of 6 groups" in told and "no computing is saved" in told
    card = json.loads((place / "model/config.json").read_text())
    found = card["empty_filter"]
    assert card["gate"] is None
    # 49 of the 50 highest are nearly 1, the object's score nearly 0.98; five of 50 nearly 0.1
    assert 0.9 < found["threshold"][0] <= 0.98
    assert (found["top_k"], found["positives"], found["patients"]) == (50, [240], [6])
    assert (found["sensitivity"], found["auroc"], found["emptied_empty"]) == ([1.0], [1.0], 1.0)
    assert found["lower_bound"] == [pytest.approx(0.05 ** (1 / 240), abs=1e-6)]  # no miss in 240, by hand
    assert card["training"]["calibration"]["slices"] == 360 and card["training"]["calibration"]["empty_slices"] == 120
    rows = list(csv.DictReader((place / "model/empty_filter.csv").read_text().splitlines()))
    assert set(rows[0]) == {"threshold", "slices_emptied", "empty_slices_emptied", "sensitivity brighter"}


def test_predict_takes_the_strays_off_and_counts_them(place: Path) -> None:
    images = str(place / "set/images")
    for name, more in (("on", []), ("off", ["--gate", "off"])):
        target = str(place / name)
        assert run(["predict", images, "-m", str(place / "model"), "-o", target, "--device", "cpu", *more]) == 0
    assert run(["predict", images, "-m", str(place / "brighter"), "-o", str(place / "plain"), "--device", "cpu"]) == 0
    for found, truth in zip(masks(place / "on"), masks(place / "set/masks"), strict=True):
        assert np.array_equal(found, truth)
    for off, plain in zip(masks(place / "off"), masks(place / "plain"), strict=True):
        assert np.array_equal(off, plain) and (off[..., LABELLED:].sum(axis=(0, 1)) == 5).all()
    report = json.loads((place / "on/report.json").read_text())
    assert [case["slices_emptied"] for case in report["cases"]] == [20] * CASES and report["slices_emptied"] == 120
    assert report["tiles_gated"] == 0
    assert json.loads((place / "off/report.json").read_text())["slices_emptied"] == 0


def test_too_few_slices_leave_everything_as_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = place / "few"
    for name in ("images", "masks"):
        (few / name).mkdir(parents=True, exist_ok=True)
        for path in sorted((place / "set" / name).iterdir())[:2]:
            (few / name / path.name).write_bytes(path.read_bytes())
    before = (place / "brighter/config.json").read_bytes()
    assert run(["calibrate", str(place / "brighter"), str(few)]) == 2
    told = capsys.readouterr()
    assert "Empty filter not calibrated (needs 200 labelled slices, found 80)" in told.out
    assert (place / "brighter/config.json").read_bytes() == before
    assert run(["calibrate", str(place / "model"), str(few), "-o", str(place / "none"), "--or-none"]) == 0
    card = json.loads((place / "none/config.json").read_text())
    assert "empty_filter" not in card and card["training"]["calibration"]["no_gate"].startswith(
        "Empty filter not calibrated"
    )
