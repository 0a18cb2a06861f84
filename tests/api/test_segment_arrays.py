"""``segcli.segment`` on arrays, with a model whose mask can be written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its documentation's own name
import torch
from known_masks import EXACT, RANDOM, expected
from PIL import Image as Picture

import segcli
from segcli.errors import ModelError, PluginError, UnsupportedError, UsageError
from segcli.settings import PredictSettings


@pytest.mark.parametrize("shape", [(20, 30), (5, 20, 30), (1, 100, 70)])
def test_an_array_comes_back_as_its_label_map(threshold_model: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).random(shape)
    labels = segcli.segment(pixels, threshold_model, settings=EXACT)
    assert isinstance(labels, segcli.LabelMap)
    assert labels.pixels.dtype == np.uint8
    assert np.array_equal(labels.pixels, expected(pixels).reshape(-1, *shape[-2:]))


@pytest.mark.parametrize(
    ("axes", "order"),
    [("ZYX", (0, 1, 2)), ("zyx", (0, 1, 2)), ("YXZ", (1, 2, 0)), ("XZY", (2, 0, 1))],
)
def test_axes_say_which_is_which(threshold_model: Path, axes: str, order: tuple[int, ...]) -> None:
    stack = np.random.default_rng(2).random((3, 20, 30))
    labels = segcli.segment(stack.transpose(order), threshold_model, axes=axes, settings=EXACT)
    assert np.array_equal(labels.pixels, expected(stack))


def test_channels_are_an_axis_too(threshold_model: Path) -> None:
    stack = np.random.default_rng(2).random((3, 20, 30))
    for array, axes in ((stack[:, None], "ZCYX"), (stack[..., None], "ZYXC"), (stack[None], "CZYX")):
        assert np.array_equal(segcli.segment(array, threshold_model, axes=axes, settings=EXACT).pixels, expected(stack))
    for array, axes in ((RANDOM[None], "CYX"), (RANDOM[..., None], "YXC")):
        assert np.array_equal(
            segcli.segment(array, threshold_model, axes=axes, settings=EXACT).pixels[0], expected(RANDOM)
        )


@pytest.mark.parametrize("shape", [(40, 37, 3), (40, 37, 4), (3, 40, 37), (40, 37, 2), (2, 40, 37), (40, 37, 1)])
def test_what_may_be_slices_or_colours_is_not_guessed(threshold_model: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"slices or colours: say which with axes='ZYX', 'CYX' or 'YXC'"):
        segcli.segment(np.zeros(shape, np.uint8), threshold_model)


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((3, 1, 8, 8), None, "four axes needs axes="),
        ((8,), None, "1 axes is no image"),
        ((), None, "0 axes is no image"),
        ((2, 2, 2, 8, 8), None, "5 axes is no image"),
        ((8, 8), "ZYX", "names 3 axes, the array has 2"),
        ((8, 8), "YY", "different letters"),
        ((8, 8), "ZC", "Y and X among them"),
        ((8, 8, 8), "TYX", "different letters"),
        ((8, 8), "", "different letters"),
    ],
)
def test_axes_that_do_not_fit_are_refused(
    threshold_model: Path, shape: tuple[int, ...], axes: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        segcli.segment(np.zeros(shape), threshold_model, axes=axes)


def test_the_wrong_number_of_channels_says_both_numbers(threshold_model: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"wants 1 channel\(s\).*the image has 3"):
        segcli.segment(np.zeros((8, 8, 3)), threshold_model, axes="YXC")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([["a", "b"]]), "str"),
        (np.zeros((4, 4), complex), "complex"),
        (np.array([[None, 1]]), "object"),
        (np.zeros((4, 4), np.longdouble), "longdouble|float128"),
        (np.zeros((4, 4), "datetime64[s]"), "datetime"),
        (np.zeros((4, 4), [("r", "u1"), ("g", "u1")]), "void"),
        (np.zeros((0, 4)), "no pixel"),
        (np.ma.masked_greater(np.ones((4, 4)), 0), "masked"),
    ],
)
def test_what_holds_no_real_numbers_is_refused(threshold_model: Path, array: Any, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words) as caught:
        segcli.segment(array, threshold_model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ([[1.0, 2.0]], "not a list: numpy.stack"),
        (((1.0, 2.0),), "not a tuple"),
        (torch.zeros(8, 8), "torch.Tensor: give tensor.cpu"),
        ("scan.nii", "not a path: segcli.predict"),
        (Path("scan.nii"), "not a path"),
        (None, "not a NoneType"),
        (Picture.new("L", (8, 8)), "not a PIL.Image.Image"),
        (nib.MGHImage(np.zeros((4, 4, 4), np.float32), np.eye(4)), "Nifti1Image.from_image"),
    ],
)
def test_what_is_no_image_is_refused_by_its_kind(threshold_model: Path, image: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        segcli.segment(image, threshold_model)
    assert "\n" not in str(caught.value)


def test_an_image_above_the_limit_is_refused_before_it_is_touched(threshold_model: Path) -> None:
    huge = np.broadcast_to(np.float32(0), (10**6, 10**6))  # 4 TB if it were copied
    with pytest.raises(UnsupportedError, match="the limit is 500,000,000"):
        segcli.segment(huge, threshold_model)
    volume = nib.Nifti1Image(np.broadcast_to(np.float32(0), (10**4, 10**4, 10**2)), np.eye(4))
    with pytest.raises(UnsupportedError, match="the limit is 500,000,000"):
        segcli.segment(volume, threshold_model)
    with pytest.raises(UnsupportedError, match="the limit is 10"):
        segcli.segment(sitk.Image(8, 8, sitk.sitkUInt8), threshold_model, settings=PredictSettings(max_pixels=10))


@pytest.mark.parametrize("dtype", [">f4", ">i2", np.float16, bool, np.uint64])
def test_any_real_dtype_and_layout_gives_the_same_labels(threshold_model: Path, dtype: Any) -> None:
    whole = np.random.default_rng(3).integers(0, 2, (20, 30))
    given = np.asfortranarray(whole).astype(dtype)
    assert np.array_equal(segcli.segment(given[::-1], threshold_model, settings=EXACT).pixels[0], expected(whole[::-1]))
    assert np.array_equal(given, whole)  # and nothing of the caller's has changed


def test_settings_are_settings(threshold_model: Path) -> None:
    with pytest.raises(UsageError, match=r"a segcli.PredictSettings, not a dict"):
        segcli.segment(RANDOM, threshold_model, settings={"batch": 1})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="overlap=7"):
        segcli.segment(RANDOM, threshold_model, settings=PredictSettings(overlap=7))


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (-1.0, 1.0), (1.0,) * 4, (float("inf"), 1.0), "ab", 1.0])
def test_a_senseless_spacing_is_refused(threshold_model: Path, spacing: Any) -> None:
    with pytest.raises(UsageError, match="spacing="):
        segcli.segment(RANDOM, threshold_model, spacing=spacing)


def test_what_is_not_finite_is_background_and_said(threshold_model: Path) -> None:
    pixels = RANDOM.copy()
    pixels[0, :3] = np.nan
    rest = np.isfinite(pixels)
    with pytest.warns(UserWarning, match="not finite"):
        labels = segcli.segment(pixels, threshold_model, settings=EXACT).pixels[0]
    assert not labels[~rest].any()
    assert np.array_equal(labels[rest], expected(pixels[rest]))
    with pytest.raises(UnsupportedError, match=r"strict: .*not finite"):
        segcli.segment(pixels, threshold_model, settings=PredictSettings(strict=True))


def test_a_model_is_a_name_a_folder_or_loaded_once(threshold_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = segcli.load_model(threshold_model)
    assert isinstance(loaded, segcli.LoadedModel)
    assert segcli.segment(RANDOM, loaded).pixels.any()
    monkeypatch.chdir(threshold_model.parent)
    assert segcli.segment(RANDOM, Path(threshold_model.name)).pixels.any()  # a Path is a folder
    with pytest.raises(PluginError, match="no model is called"):
        segcli.load_model(threshold_model.name)
    with pytest.raises(ModelError, match="is not a model folder"):
        segcli.load_model(Path("nowhere"))
    with pytest.raises(UsageError, match="not a NoneType"):
        segcli.segment(RANDOM, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"select": (("Modality", "MR"),)}, {"shard": (1, 2)}, {"case_timeout": 60.0}])
def test_segment_swallows_no_setting_that_is_for_folders(threshold_model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} is for folders of files"):
        segcli.segment(np.zeros((8, 8)), threshold_model, settings=segcli.PredictSettings(**options))
