"""The Python way in, with a model whose mask can be written down by hand."""

from __future__ import annotations

import ast
import gzip
import json
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its documentation's own name
import torch
from PIL import Image as Picture

import segcli
from segcli.errors import ModelError, PluginError, UnsupportedError, UsageError
from segcli.settings import PredictSettings

EXACT = PredictSettings(precision="float32")  # bfloat16, where the hardware has it, rounds near the threshold
RANDOM = np.random.default_rng(0).random((20, 30))
TILTED = np.array([[0.0, 0.6, 0.8], [-1.0, 0.0, 0.0], [0.0, -0.8, 0.6]])
OBLIQUE = nib.affines.from_matvec(TILTED * [0.8, 0.9, 1.5], [11.0, -7.5, 3.25])


def expected(pixels: Any) -> Any:
    """Where the z-score exceeds 0.5."""
    return ((pixels - pixels.mean()) / pixels.std() > 0.5).astype(np.uint8)


def predicted(folder: Path, model: Path, **options: Any) -> segcli.Report:
    return segcli.predict(folder / "in", folder / "out", model=model, precision="float32", **options)


@pytest.fixture(scope="module")
def placed_model(threshold_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but it sees axial slices with pixels of 1 mm: where an image lies decides what it finds."""
    folder = tmp_path_factory.mktemp("placed") / "model"
    shutil.copytree(threshold_model, folder)
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**card, "spacing": [1.0, 1.0], "orientation": "LPS"}))
    return folder


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


def nifti(folder: Path, name: str, voxels: Any, slope: float = 1, inter: float = 0, affine: Any = OBLIQUE) -> Path:
    """A file as other programs write them: scaled integers, oblique, big-endian where the voxels are."""
    header = nib.Nifti1Header(endianness=voxels.dtype.byteorder if voxels.dtype.byteorder == ">" else "<")
    image = nib.Nifti1Image(voxels, affine, header)
    image.set_data_dtype(voxels.dtype)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    (folder / "in").mkdir(exist_ok=True)
    nib.save(image, folder / "in" / name)
    return folder / "in" / name


@pytest.mark.parametrize("kind", ["scaled", "float", "big", "time", "flat", "unplaced"])
def test_a_nibabel_image_gives_the_mask_that_predict_writes(
    placed_model: Path, threshold_model: Path, tmp_path: Path, kind: str
) -> None:
    model = threshold_model if kind in ("flat", "unplaced") else placed_model
    draw = np.random.default_rng(4)
    shape = {"time": (18, 20, 7, 3), "flat": (18, 20)}.get(kind, (18, 20, 7))
    voxels = draw.integers(-500, 500, shape).astype(">i2" if kind == "big" else "<i2")
    if kind == "float":
        voxels = draw.normal(0, 1, shape).astype(np.float32)
    path = nifti(tmp_path, "a.nii.gz", voxels, *((-0.25, 3) if kind == "scaled" else ()))  # negative: bright is dark
    if kind == "unplaced":
        image = nib.load(path)
        image.header["qform_code"] = image.header["sform_code"] = 0
        image.header["vox_offset"] = 352
        path.write_bytes(gzip.compress(bytes(image.header.binaryblock) + b"\0" * 4 + voxels.tobytes(order="F")))
    report = predicted(tmp_path, model)
    assert report.counts == {"done": 1}, report.outcomes
    loaded = nib.load(path)
    found = segcli.segment(loaded, model, settings=EXACT)
    assert type(found) is nib.Nifti1Image
    written = gzip.decompress((tmp_path / "out/a.nii.gz").read_bytes())
    assert np.asarray(found.dataobj).tobytes(order="F") == written[352:]
    assert kind == "flat" or found.to_bytes() == written  # nibabel forgets the spacing of an axis that is not there
    np.testing.assert_array_equal(found.affine, loaded.affine)
    assert np.asarray(found.dataobj).any() and found.get_data_dtype() == np.uint8


def test_a_nibabel_image_made_in_memory_counts_as_its_affine_says(threshold_model: Path) -> None:
    voxels = np.random.default_rng(5).random((18, 20, 7)).astype(np.float32)
    image = nib.Nifti2Image(voxels, OBLIQUE)
    found = segcli.segment(image, threshold_model, settings=EXACT)
    assert isinstance(found, nib.Nifti2Image)
    np.testing.assert_array_equal(found.affine, OBLIQUE)
    np.testing.assert_array_equal(np.asarray(found.dataobj), expected(voxels.astype(np.float64)))
    image.affine[:3, 3] += 5  # as programs move images that they have loaded
    np.testing.assert_allclose(segcli.segment(image, threshold_model, settings=EXACT).affine[:3, 3], OBLIQUE[:3, 3] + 5)
    with pytest.raises(UnsupportedError, match="complex"):
        segcli.segment(nib.Nifti1Image(voxels.astype(np.complex64), OBLIQUE), threshold_model)


@pytest.mark.parametrize(("name", "axes"), [("a.mha", 3), ("a.nrrd", 3), ("a.mha", 2), ("a.mha", 4)])
def test_a_simpleitk_image_gives_the_mask_that_predict_writes(
    placed_model: Path, tmp_path: Path, name: str, axes: int
) -> None:
    voxels = np.random.default_rng(6).normal(0, 1, (3, 7, 20, 18)[-axes:]).astype(np.float32)
    image = sitk.GetImageFromArray(voxels, isVector=False)
    image.SetSpacing((0.8, 1.3, 1.5, 1.0)[:axes])
    image.SetOrigin((11.0, -7.5, 3.25, 0.0)[:axes])
    if axes == 3:
        image.SetDirection((0, 0, -1, 1, 0, 0, 0, -1, 0))
    (tmp_path / "in").mkdir()
    sitk.WriteImage(image, tmp_path / "in" / name)
    assert predicted(tmp_path, placed_model).counts == {"done": 1}
    expects_warning = pytest.warns(UserWarning, match="no orientation") if axes == 2 else nullcontext()
    with expects_warning:
        found = segcli.segment(sitk.ReadImage(tmp_path / "in" / name), placed_model, settings=EXACT)
    written = sitk.ReadImage(tmp_path / "out" / name)
    assert (found.GetSize(), found.GetPixelID()) == (written.GetSize(), written.GetPixelID())
    assert sitk.GetArrayFromImage(found).tobytes() == sitk.GetArrayFromImage(written).tobytes()
    assert sitk.GetArrayFromImage(found).any()
    for given, back in ((image.GetSpacing(), found.GetSpacing()), (image.GetDirection(), found.GetDirection())):
        assert given == back


def test_what_simpleitk_makes_up_is_said(threshold_model: Path) -> None:
    with pytest.warns(UserWarning, match="SetSpacing"):
        segcli.segment(sitk.GetImageFromArray(RANDOM), threshold_model, settings=EXACT)
    with pytest.raises(UnsupportedError, match="complex"):
        segcli.segment(sitk.Image(8, 8, sitk.sitkComplexFloat32), threshold_model)
    with pytest.raises(UnsupportedError, match="holds a label of"):  # SimpleITK would end the process
        segcli.segment(sitk.LabelImageToLabelMap(sitk.Image(8, 8, sitk.sitkUInt8)), threshold_model)
    with pytest.raises(UnsupportedError, match=r"the image has 3"):
        segcli.segment(sitk.GetImageFromArray(np.zeros((8, 8, 3)), isVector=True), threshold_model)


def test_an_array_with_spacing_gives_the_mask_that_predict_writes(threshold_model: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (40, 33), np.uint8)
    (tmp_path / "in").mkdir()
    Picture.fromarray(pixels).save(tmp_path / "in/a.png")
    predicted(tmp_path, threshold_model, spacing=(0.5, 0.7), png_mask="grey")
    found = segcli.segment(pixels, threshold_model, spacing=(0.5, 0.7), settings=EXACT)
    assert found.pixels.tobytes() == np.asarray(Picture.open(tmp_path / "out/a.png")).tobytes()


def test_settings_are_settings(threshold_model: Path) -> None:
    with pytest.raises(UsageError, match=r"a segcli.PredictSettings, not a dict"):
        segcli.segment(RANDOM, threshold_model, settings={"batch": 1})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="overlap=7"):
        segcli.segment(RANDOM, threshold_model, settings=PredictSettings(overlap=7))


def test_a_spacing_beside_the_images_own_is_refused_not_ignored(threshold_model: Path) -> None:
    image = nib.Nifti1Image(np.random.default_rng(8).random((18, 20, 7)), OBLIQUE)
    with pytest.raises(UsageError, match="states its own spacing"):
        segcli.segment(image, threshold_model, spacing=(1.0, 1.0))
    with pytest.raises(UsageError, match="knows its own"):
        segcli.segment(image, threshold_model, axes="ZYX")


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


@pytest.mark.parametrize("options", [{"select": (("Modality", "MR"),)}, {"shard": (1, 2)}, {"case_timeout": 60.0}])
def test_segment_swallows_no_setting_that_is_for_folders(threshold_model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} is for folders of files"):
        segcli.segment(np.zeros((8, 8)), threshold_model, settings=segcli.PredictSettings(**options))


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


def test_importing_segcli_is_light_and_what_is_public_is_listed() -> None:
    program = (
        "import sys, segcli\nheavy = {'torch', 'numpy', 'nibabel', 'SimpleITK', 'pydicom'} & set(sys.modules)\n"
        "segcli.PredictSettings, segcli.Report, segcli.errors.UsageError\nprint(heavy, {'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set() set()\n"
    assert set(segcli.__all__) <= set(dir(segcli))
    for name in segcli.__all__:
        assert getattr(segcli, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        segcli.nothing  # noqa: B018
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(segcli.__all__) == {
            "LabelMap", "LoadedModel", "Outcome", "PredictSettings", "Report", "errors", "load_model", "predict",
            "segment",
        }  # fmt: skip


@pytest.mark.parametrize("option", ["select", "spacing", "shard", "memory", "batch", "channel"])
def test_a_value_in_the_words_of_the_command_line_is_told_what_python_wants(option: str) -> None:
    given: Any = {"select": "Modality=MR", "spacing": "1,1", "shard": "1/2", "memory": "2G", "batch": "auto"}
    with pytest.raises(UsageError, match=rf"{option}=.* makes no sense, it wants for example ") as caught:
        segcli.predict("in", "out", model="unet", **{option: given.get(option, 0)})
    example = str(caught.value).split("for example ")[1].split(": see")[0].split(", or ")[0].split(", a ")[0]
    PredictSettings(**{option: ast.literal_eval(example)} if "*" not in example else {})
