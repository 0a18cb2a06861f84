"""``segcli.segment`` on images of nibabel and SimpleITK gives the mask that ``predict`` writes for their files."""

from __future__ import annotations

import gzip
import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its documentation's own name
from known_masks import EXACT, OBLIQUE, RANDOM, expected, nifti, predicted
from PIL import Image as Picture

import segcli
from segcli.errors import UnsupportedError, UsageError


@pytest.fixture(scope="module")
def placed_model(threshold_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but it sees axial slices with pixels of 1 mm: where an image lies decides what it finds."""
    folder = tmp_path_factory.mktemp("placed") / "model"
    shutil.copytree(threshold_model, folder)
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**card, "spacing": [1.0, 1.0], "orientation": "LPS"}))
    return folder


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


def test_a_spacing_beside_the_images_own_is_refused_not_ignored(threshold_model: Path) -> None:
    image = nib.Nifti1Image(np.random.default_rng(8).random((18, 20, 7)), OBLIQUE)
    with pytest.raises(UsageError, match="states its own spacing"):
        segcli.segment(image, threshold_model, spacing=(1.0, 1.0))
    with pytest.raises(UsageError, match="knows its own"):
        segcli.segment(image, threshold_model, axes="ZYX")
