"""What lies in a data set's folder, and every way in which it may not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sets import nnunet_set, png_set, save_volume, stack

from segcli.errors import UsageError
from segcli.pairing.layout import read_layout
from segcli.training.deriving import derive_card
from segcli.training.examples import Example, label_values
from segcli.training.options import CardOptions
from segcli.training.source import read_all
from segcli.training.splitting import group_by_folder


def read(folder: Path) -> list[Example]:
    return read_all(read_layout(folder), None, group_by_folder)[0]


def test_an_nnunet_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = read_layout(nnunet_set(tmp_path / "set", 2))
    examples, layout = read_all(layout, None, group_by_folder)
    assert [example.name for example in examples] == ["c_001", "c_002"]
    image, labels = stack(2)
    np.testing.assert_array_equal(examples[1].parts[0].pixels[:, 0], image)
    np.testing.assert_array_equal(examples[1].labels[0], labels)
    assert (layout.channels, layout.labels, layout.license) == (("T1",), {1: "square", 2: "core"}, "CC0-1.0")


def test_two_channels_are_one_image(tmp_path: Path) -> None:
    (example,) = read(nnunet_set(tmp_path / "set", 1, channels=2))
    assert example.parts[0].shape[1] == 2
    np.testing.assert_array_equal(example.parts[0].pixels[:, 1], -example.parts[0].pixels[:, 0])


def test_the_card_says_what_the_headers_say(tmp_path: Path) -> None:
    examples, layout = read_all(read_layout(nnunet_set(tmp_path / "set", 2)), None, group_by_folder)
    card = derive_card(examples, (1, 2), layout, CardOptions(), "unet")
    assert (card.orientation, card.spacing) == ("LPS", (0.9, 0.8))
    assert (card.tile, card.channels, card.modality) == ((16, 32), ("T1",), "MR")
    assert [(label.value, label.name) for label in card.labels] == [(1, "square"), (2, "core")]
    assert card.intensity.kind == "zscore"
    context = derive_card(examples, (1, 2), layout, CardOptions(context_slices=1), "unet")
    assert context.spacing == (2.5, 0.9, 0.8)  # how far away the neighbours were
    three = derive_card(examples, (1, 2), layout, CardOptions(dims=3), "unet")
    assert (three.spacing, three.tile) == ((2.5, 0.9, 0.8), (16, 16, 32))


def test_ct_gets_a_window_of_what_lies_under_the_masks(tmp_path: Path) -> None:
    examples, layout = read_all(read_layout(nnunet_set(tmp_path / "set", 1)), None, group_by_folder)
    intensity = derive_card(examples, (1, 2), layout, CardOptions(modality="CT"), "unet").intensity
    under = examples[0].parts[0].pixels[:, 0][examples[0].labels[0] > 0]
    assert intensity.kind == "window"
    assert intensity.low == pytest.approx(np.percentile(under, 0.5), abs=0.5)
    assert intensity.high == pytest.approx(np.percentile(under, 99.5), abs=0.5)


def test_options_override_the_card(tmp_path: Path) -> None:
    examples, layout = read_all(read_layout(nnunet_set(tmp_path / "set", 1)), None, group_by_folder)
    options = CardOptions(tile=(32, 32), spacing=(1.0, 1.0), orientation="LIP", intensity="percentile:1,99", name="x")
    card = derive_card(examples, (1, 2), layout, options, "unet")
    assert (card.tile, card.spacing, card.orientation, card.name) == ((32, 32), (1.0, 1.0), "LIP", "x")
    assert (card.intensity.kind, card.intensity.low, card.intensity.high) == ("percentile", 1.0, 99.0)
    with pytest.raises(UsageError, match="--intensity"):
        derive_card(examples, (1,), layout, CardOptions(intensity="window:5"), "unet")


def test_png_pairs_of_grey_saved_as_colour_are_grey(tmp_path: Path) -> None:
    folder = png_set(tmp_path / "set", 2)
    from PIL import Image  # noqa: PLC0415

    for path in (folder / "images").iterdir():
        Image.open(path).convert("RGB").save(path)
    examples, layout = read_all(read_layout(folder), None, group_by_folder)
    assert layout.channels == ("image",)
    assert examples[0].parts[0].shape[1] == 1
    assert label_values(examples, None) == (255,)


def test_masks_may_carry_a_word_behind_the_name(tmp_path: Path) -> None:
    folder = png_set(tmp_path / "set", 1)
    (folder / "masks/a1.png").rename(folder / "masks/a1_mask.png")
    assert [example.name for example in read(folder)] == ["a1"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "labelsTr/c_002.nii.gz").unlink(), "an image without a mask: c_002"),
        (lambda f: (f / "imagesTr/c_002_0000.nii.gz").unlink(), "a mask without an image: c_002"),
        (lambda f: save_volume(f / "labelsTr/c_001.nii.gz", np.zeros((6, 16, 17), np.uint8)), "geometry: 6 × 16 × 18"),
        (
            lambda f: save_volume(f / "labelsTr/c_001.nii.gz", stack(1)[1], np.diag([-0.8, -0.9, 3.0, 1.0])),
            "same geometry: they differ in position",
        ),
        (lambda f: [path.unlink() for path in f.glob("*Tr/*")], "holds no image"),
        (lambda f: (f / "imagesTr/c_001_0000.nii.gz").write_bytes(b"\x1f\x8b\x08"), "c_001"),
        (lambda f: (f / "dataset.json").write_text("{"), "dataset.json is not valid JSON"),
        (lambda f: (f / "dataset.json").unlink(), "is not a data set"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_in_one_line(tmp_path: Path, spoil: object, words: str) -> None:
    folder = nnunet_set(tmp_path / "set", 2)
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        read(folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_that_dataset_json_does_not_name(tmp_path: Path) -> None:
    examples = read(nnunet_set(tmp_path / "set", 1, labels={"background": 0, "square": 1}))
    with pytest.raises(UsageError, match=r"c_001: its mask holds the label 2, which dataset.json"):
        label_values(examples, {1: "square"})


def test_a_grey_image_is_no_mask() -> None:
    labels = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
    with pytest.raises(UsageError, match="not label maps"):
        label_values([Example("a", "a", (), (labels,))], None)
    with pytest.raises(UsageError, match="no mask holds a label"):
        label_values([Example("a", "a", (), (labels * 0,))], None)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"background": 0}, "background only"),
        ({"background": 0, "whole": [1, 2]}, "region"),
        ({"background": 0, "a": 1, "ignore": 2}, "ignore"),
        ({"background": 0, "a": 1, "b": 1}, "different whole numbers"),
    ],
)
def test_labels_dataset_json_may_not_have(tmp_path: Path, labels: dict[str, object], words: str) -> None:
    folder = nnunet_set(tmp_path / "set", 1)
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**description, "labels": labels}))
    with pytest.raises(UsageError, match=words):
        read_layout(folder)


def test_labels_of_nnunet_1_are_understood(tmp_path: Path) -> None:
    folder = nnunet_set(tmp_path / "set", 1)
    description = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}}
    (folder / "dataset.json").write_text(json.dumps(description))
    layout = read_layout(folder)
    assert (layout.channels, layout.labels) == (("CT",), {1: "liver"})
