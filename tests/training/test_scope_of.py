"""The scope that training writes on a card: what its images were like, and no others; all figures by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from sets import nnunet_set, png_set, save_volume

from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.contract import Label, ModelCard, Scope
from segcli.geometry import Geometry
from segcli.image import Image
from segcli.training.examples import Example
from segcli.training.options import CardOptions, TrainOptions
from segcli.training.planning import Plan, make_plan
from segcli.training.scope_of import scope_of

CARD = ModelCard(
    "unet", "x", "1", "CC0", 2, ("T1",), (Label(1, "a", (1, 2, 3)),), (16, 16), (0, 0), (0, 0), spacing=(1, 1),
    orientation="LPS",
)  # fmt: skip
LPS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0))  # columns to the back, rows down, slices to the left
NOWHERE = Geometry()
TRAIN = ["--option", "base=2", "--steps", "2", "--batch", "2", "--device", "cpu", "--precision", "float32"]


def example(shape: tuple[int, int, int], geometry: Geometry = NOWHERE, *body_parts: str) -> Example:
    slices, rows, columns = shape
    pixels = np.zeros((slices, 1, rows, columns), np.uint8)
    return Example("a", "a", (Image(pixels, geometry),), (pixels[:, 0],), None, body_parts)


def test_smallest_and_largest_along_each_axis() -> None:
    small = example((20, 40, 31), Geometry((1, 1), 1, LPS))
    large = example((30, 100, 80), Geometry((0.5, 0.25), 2, LPS))
    assert scope_of([small, large], CARD) == Scope(
        field_of_view_mm=((20, 60), (40, 50), (20, 31)),
        field_of_view_px=((40, 50), (20, 31)),  # of the network's grid of 1 mm
        spacing=((1, 2), (0.5, 1), (0.25, 1)),
        planes=("axial",),
    )


def test_axes_are_those_of_the_network() -> None:
    turned = example((31, 20, 40), Geometry((2, 1), 3, SAGITTAL))  # left 93 mm, down 40 mm, back 40 mm
    assert scope_of([turned], CARD).field_of_view_mm == ((40, 40), (40, 40), (93, 93))


def test_images_without_spacing_count_as_pixels_only() -> None:
    found = scope_of([example((1, 64, 48)), example((1, 50, 40), Geometry((0.5, 0.5)))], CARD)
    assert found.field_of_view_px == ((25, 64), (20, 48))
    assert (found.field_of_view_mm, found.spacing) == (((25, 25), (20, 20)), ((0.5, 0.5), (0.5, 0.5)))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([("HEAD",), ("BRAIN",)], ("BRAIN", "HEAD")),
        ([("HEADNECK",)], ("HEAD", "NECK")),
        ([("HEAD",), ()], None),  # not all state one
        ([("SMITH JOHN",)], None),  # a header may hold anything
        ([("HEAD SMITH",)], None),
    ],
)
def test_only_body_parts_that_dicom_knows(stated: list[tuple[str, ...]], expected: tuple[str, ...] | None) -> None:
    assert scope_of([example((1, 9, 9), NOWHERE, *words) for words in stated], CARD).body_part == expected


def test_train_writes_the_scope_and_predict_keeps_to_it(tmp_path: Path) -> None:
    nnunet_set(tmp_path / "set", 4)
    model = tmp_path / "model"
    assert run(["train", str(tmp_path / "set"), "-m", "unet", "-o", str(model), *TRAIN]) == 0
    card = json.loads((model / "config.json").read_text())
    assert card["schema"] == 2
    assert card["scope"] == {
        "field_of_view_mm": [[15, 15], [14.4, 14.4], [14.4, 14.4]],
        "field_of_view_px": [[16, 16], [18, 18]],
        "spacing": [[2.5, 2.5], [0.9, 0.9], [0.8, 0.8]],
        "planes": ["axial"],
    }
    (tmp_path / "in").mkdir()
    save_volume(tmp_path / "in/alike.nii.gz", np.random.default_rng(0).random((6, 20, 20), np.float32))
    save_volume(tmp_path / "in/large.nii.gz", np.random.default_rng(0).random((6, 60, 60), np.float32))
    assert run(["predict", str(tmp_path / "in"), "-m", f"{model}/", "-o", str(tmp_path / "out")]) == 0
    cases = {case["name"]: case for case in json.loads((tmp_path / "out/report.json").read_text())["cases"]}
    assert cases["alike.nii.gz"]["status"] != "skipped"
    assert cases["large.nii.gz"]["reason"] == "out of scope: field of view 54 × 48 mm, the model was trained on 14 mm"


def test_only_images_to_train_on_count(tmp_path: Path) -> None:
    def plan(heights: dict[str, int]) -> Plan:
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name, rows in heights.items():
                pixels = np.zeros((rows, 16), np.uint8)
                pixels[4:9, 4:9] = 1
                Pillow.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
        options = TrainOptions(tmp_path, tmp_path / "model", "unet", card=CardOptions(labels={1: "square"}))
        return make_plan(options, load_catalog(), lambda *_: None)

    names = [f"a{number}" for number in range(6)]
    trained = plan(dict.fromkeys(names, 16)).names["train"]
    card = plan({name: 16 if name in trained else 40 for name in names}).card
    assert card.scope is not None and card.scope.field_of_view_px == ((16, 16), (16, 16))


def test_a_card_file_may_state_another(tmp_path: Path) -> None:
    png_set(tmp_path / "set", 3)
    (tmp_path / "card.json").write_text('{"scope": {"field_of_view_px": [[10, 20], [10, 20]]}}')
    command = ["train", str(tmp_path / "set"), "-m", "unet", *TRAIN, "--label", "255=square"]
    assert run([*command, "-o", str(tmp_path / "plain")]) == 0
    assert run([*command, "-o", str(tmp_path / "stated"), "--card", str(tmp_path / "card.json")]) == 0
    plain, stated = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("plain", "stated"))
    assert plain["scope"] == {"field_of_view_px": [[16, 16], [18, 18]]}
    assert stated["scope"] == {"field_of_view_px": [[10, 20], [10, 20]]}
