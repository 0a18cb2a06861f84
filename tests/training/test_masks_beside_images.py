"""Masks that lie beside their images, in one folder or in folders of patients, one or several an image."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from sets import png_set, stack

from segcli.cli.main import run
from segcli.errors import UsageError
from segcli.pairing.layout import read_layout
from segcli.training.examples import Example
from segcli.training.options import SplitOptions
from segcli.training.planning import groups_of
from segcli.training.source import read_all
from segcli.training.splitting import group_by_folder

TINY = ["--option", "base=2", "--steps", "2", "--batch", "4", "--device", "cpu", "--precision", "float32"]
SQUARES = ["--label", "255=square"]


def pair(image: Path, mask: str = "_mask", seed: int = 1, number: int = 255) -> Path:
    """A grey TIFF and beside it its mask, 0 and ``number``."""
    image.parent.mkdir(parents=True, exist_ok=True)
    pixels, labels = (part[2] for part in stack(seed))
    tifffile.imwrite(image, np.clip(pixels * 40 + 60, 0, 255).astype(np.uint8))
    tifffile.imwrite(image.with_name(f"{image.stem}{mask}.tif"), (labels > 0).astype(np.uint8) * number)
    return image


def square(path: Path, rows: slice, number: int = 255) -> None:
    labels = np.zeros((16, 18), np.uint8)
    labels[rows, 4:9] = number
    tifffile.imwrite(path, labels)


def read(folder: Path, numbered: str | None = None) -> list[Example]:
    from dataclasses import replace  # noqa: PLC0415

    return read_all(replace(read_layout(folder), numbered=numbered), None, group_by_folder)[0]  # type: ignore[arg-type]


def test_patients_folders_are_trained_on_and_never_torn_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for patient in range(1, 5):
        for slice_ in range(1, 4):
            pair(tmp_path / f"set/p{patient}/p{patient}_{slice_}.tif", seed=10 * patient + slice_)
    (tmp_path / "set/readme.txt").write_text("not an image")
    command = ["train", str(tmp_path / "set"), "-m", "unet", "-o", str(tmp_path / "model"), *TINY, *SQUARES]
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "12 cases of 4 groups" in shown
    assert "split by folder: cases of one folder stay together" in shown
    assert "left out 1 file: not an image (text)" in shown
    training = json.loads((tmp_path / "model/config.json").read_text())["training"]
    assert training["groups"] == "by folder"
    groups = [group for part in ("train", "validation", "test") for group in training["split"][part]]
    assert sorted(groups) == ["p1/", "p2/", "p3/", "p4/"]
    assert (
        run(["calibrate", str(tmp_path / "model"), str(tmp_path / "set"), "-o", str(tmp_path / "c"), "--or-none"]) == 0
    )


def test_the_uppermost_folder_is_the_patient_of_all_below() -> None:
    names = ["a", "p1/left/x", "p1/right/x", "p2/x"]
    assert groups_of(names, SplitOptions()) == {"a": "a", "p1/left/x": "p1/", "p1/right/x": "p1/", "p2/x": "p2/"}


def test_one_folder_of_images_and_masks_is_paired_by_name(tmp_path: Path) -> None:
    pair(tmp_path / "x y.tif", seed=1)
    pair(tmp_path / "b.tif", "_Mask", seed=2)
    pair(tmp_path / "c.v2.tif", "_seg", seed=3)
    examples = read(tmp_path)
    assert [example.name for example in examples] == ["b", "c.v2", "x y"]
    for example, seed in zip(examples, (2, 3, 1), strict=True):
        assert np.array_equal(example.labels[0][0] > 0, stack(seed)[1][2] > 0)


def test_an_accent_is_one_letter_however_it_is_put_together(tmp_path: Path) -> None:
    image = pair(tmp_path / "caf\u00e9.tif")
    image.with_name("caf\u00e9_mask.tif").rename(image.with_name("cafe\u0301_mask.tif"))
    (example,) = read(tmp_path)
    assert example.name == "caf\u00e9"
    (tmp_path / "groups.csv").write_text(unicodedata.normalize("NFD", "caf\u00e9,7\n"))
    assert groups_of([example.name], SplitOptions(groups=tmp_path / "groups.csv")) == {"caf\u00e9": "7"}


def test_linked_images_and_folders_are_read(tmp_path: Path) -> None:
    for number in (1, 2):
        pair(tmp_path / f"elsewhere/p{number}/a.tif", seed=number)
    (tmp_path / "set/p1").mkdir(parents=True)
    for name in ("a.tif", "a_mask.tif"):
        (tmp_path / "set/p1" / name).symlink_to(tmp_path / "elsewhere/p1" / name)
    (tmp_path / "set/p2").symlink_to(tmp_path / "elsewhere/p2")
    assert [example.name for example in read(tmp_path / "set")] == ["p1/a", "p2/a"]


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = png_set(tmp_path / "set", 3)
    (folder / "images/gone.png").symlink_to(tmp_path / "nowhere.png")
    assert run(["train", str(folder), "-m", "unet", "-o", str(tmp_path / "model"), *TINY, *SQUARES]) == 0
    assert "left out 1 file: a link that leads nowhere" in capsys.readouterr().out


def test_numbered_masks_are_labels_or_instances_as_the_user_says(tmp_path: Path) -> None:
    pair(tmp_path / "a.tif").with_name("a_mask.tif").unlink()
    square(tmp_path / "a_mask_1.tif", slice(0, 4))
    square(tmp_path / "a_mask_12.tif", slice(8, 12))
    with pytest.raises(UsageError, match=r"masks are numbered, a_mask_1 is one: say with --numbered-masks"):
        read(tmp_path)
    (example,) = read(tmp_path, "labels")
    assert example.labels[0][0, :, 4].tolist() == [1] * 4 + [0] * 4 + [12] * 4 + [0] * 4
    (example,) = read(tmp_path, "instances")
    assert example.labels[0][0, :, 4].tolist() == [255] * 4 + [0] * 4 + [255] * 4 + [0] * 4


def test_one_numbered_mask_an_image_may_be_a_label_too(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        pair(tmp_path / f"{name}.tif", f"_mask_{number}")
    with pytest.raises(UsageError, match="--numbered-masks"):
        read(tmp_path)
    assert [int(example.labels[0].max()) for example in read(tmp_path, "labels")] == [1, 2]


def test_instances_of_several_labels_keep_them(tmp_path: Path) -> None:
    pair(tmp_path / "a.tif").with_name("a_mask.tif").unlink()
    square(tmp_path / "a_mask_1.tif", slice(0, 4), 1)
    square(tmp_path / "a_mask_2.tif", slice(2, 6), 1)  # two of the same may overlap
    square(tmp_path / "a_mask_3.tif", slice(8, 12), 2)
    (example,) = read(tmp_path, "instances")
    assert example.labels[0][0, :, 4].tolist() == [1] * 6 + [0] * 2 + [2] * 4 + [0] * 4


@pytest.mark.parametrize(
    ("masks", "numbered", "words"),
    [
        ({"a_mask_1": (0, 1), "a_mask_2": (2, 2)}, "instances", "two of its masks claim a pixel"),
        ({"a_mask_1": (0, 1), "a_mask_2": (2, 1)}, "labels", "two of its masks claim a pixel"),
        ({"a_mask_1": (0, 1), "a_seg_1": (8, 1)}, "labels", "two masks belong to a"),
        ({"a_mask_1": (0, 1), "a_mask": (8, 1)}, "instances", "two masks belong to a"),
        ({"a_mask": (0, 1), "a_seg": (8, 1)}, None, "two masks belong to a"),
        ({"a_mask": (0, 1)}, "labels", "no mask has a number"),
        ({"a_mask": (0, 1), "b_mask": (0, 1)}, None, "a mask without an image: b_mask"),
        ({"a_mask_mask": (0, 1)}, None, "an image without a mask: a"),
    ],
)
def test_what_is_ambiguous_is_refused_by_name(
    tmp_path: Path, masks: dict[str, tuple[int, int]], numbered: str | None, words: str
) -> None:
    pair(tmp_path / "a.tif").with_name("a_mask.tif").unlink()
    for name, (row, number) in masks.items():
        square(tmp_path / f"{name}.tif", slice(row, row + 4), number)
    with pytest.raises(UsageError, match=words) as caught:
        read(tmp_path, numbered)
    assert "\n" not in str(caught.value)


def test_a_numbered_mask_that_is_a_label_map_is_no_label(tmp_path: Path) -> None:
    pair(tmp_path / "a.tif").with_name("a_mask.tif").unlink()
    labels = np.zeros((16, 18), np.uint8)
    labels[2], labels[4] = 1, 2
    tifffile.imwrite(tmp_path / "a_mask_1.tif", labels)
    with pytest.raises(UsageError, match="a: its mask number 1 holds several labels"):
        read(tmp_path, "labels")


@pytest.mark.parametrize("together", [True, False])
def test_a_mask_is_never_used_for_two_images(tmp_path: Path, together: bool) -> None:
    folder = tmp_path if together else png_set(tmp_path, 1) / "images"
    image = pair(folder / "a.tif")
    Image.fromarray(tifffile.imread(image)).save(folder / "a.png")
    if not together:
        image.with_name("a_mask.tif").rename(tmp_path / "masks/a.tif")
    with pytest.raises(UsageError, match=r"two images are called a, a\.(png|tif) and a\.(png|tif): which of them is"):
        read(tmp_path)


def test_an_image_called_as_a_mask_keeps_its_own_mask(tmp_path: Path) -> None:
    folder = png_set(tmp_path, 1)
    pair(folder / "images/b_seg.tif", seed=5).with_name("b_seg_mask.tif").rename(folder / "masks/b_seg.tif")
    assert [example.name for example in read(folder)] == ["a1", "b_seg"]
    pair(folder / "images/b.tif", seed=6).with_name("b_mask.tif").unlink()
    with pytest.raises(UsageError, match="an image without a mask: b "):  # masks/b_seg is that of b_seg, not of b
        read(folder)


def test_a_label_without_a_name_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = png_set(tmp_path / "set", 3)
    assert run(["train", str(folder), "-m", "unet", "-o", str(tmp_path / "model"), *TINY]) == 2
    assert "the masks hold a label without a name: give --label 255=NAME" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_no_data_set_says_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match=r"images with their masks beside them \(a.png, a_mask.png\)"):
        read_layout(tmp_path)


def test_a_case_in_two_groups_is_refused(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("a,1\nb,2\na,2\n")
    with pytest.raises(UsageError, match="the case a is listed twice, in different groups"):
        groups_of(["a", "b"], SplitOptions(groups=tmp_path / "groups.csv"))


def test_one_image_in_two_groups_is_said_in_red_and_in_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 3), ("copy", 1)):
        pair(tmp_path / f"set/{name}.tif", seed=seed)
    command = ["train", str(tmp_path / "set"), "-m", "unet", *TINY, *SQUARES]
    assert run([*command, "-o", str(tmp_path / "model")]) == 0
    warning = "2 cases have the very pixels of a case in another group"
    assert f"WARNING: {warning}" in capsys.readouterr().err
    assert json.loads((tmp_path / "model/config.json").read_text())["training"]["warnings"][0].startswith(warning)
    (tmp_path / "groups.csv").write_text("a,1\nb,2\nc,3\ncopy,1\n")
    assert run([*command, "-o", str(tmp_path / "grouped"), "--groups", str(tmp_path / "groups.csv")]) == 0
    assert warning not in capsys.readouterr().err


def test_what_reading_warns_of_is_told_in_training_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        image = pair(tmp_path / f"set/{name}.tif", seed=ord(name))
        pixels = tifffile.imread(image).astype(np.float32)
        pixels[0, 0] = np.nan if name != "b" else 0
        tifffile.imwrite(image, pixels)
    assert run(["train", str(tmp_path / "set"), "-m", "unet", "-o", str(tmp_path / "model"), *TINY, *SQUARES]) == 0
    assert "2 cases: 0.35 % of the pixels are not finite" in capsys.readouterr().out
