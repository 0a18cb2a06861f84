"""Files that vanish or change while they are read, of every format: that case fails, and the next run puts it right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile

from segcli.batch import ahead
from segcli.batch.observer import RunObserver
from segcli.case import Case
from segcli.formats.readers import Readers

Predict = Callable[..., int]
SERIES = Path(__file__).parents[2] / "sample_data" / "mr_series"
PIXELS = np.random.default_rng(1).integers(0, 255, (40, 36), dtype=np.uint8)


def volume(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(PIXELS.astype(np.int16)[np.newaxis]), str(path))


def nifti(path: Path) -> None:
    nibabel.Nifti1Image(PIXELS[..., np.newaxis].astype(np.int16), np.eye(4)).to_filename(path)


def series(path: Path) -> None:
    path.mkdir()
    for source in sorted(SERIES.glob("*.dcm"))[:3]:
        shutil.copy(source, path)


MAKERS: dict[str, Callable[[Path], object]] = {
    "v.png": lambda path: path.write_bytes(imagecodecs.png_encode(PIXELS)),
    "v.jpg": lambda path: path.write_bytes(imagecodecs.jpeg_encode(PIXELS)),
    "v.tif": lambda path: tifffile.imwrite(path, PIXELS, photometric="minisblack"),
    "v.nii": nifti,
    "v.nii.gz": nifti,
    "v.nrrd": volume,
    "v.mha": volume,
    "mhd/v.mhd": volume,
    "series": series,
}


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def other(path: Path) -> None:
    """Of the same size."""
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes(9))


DAMAGES: dict[str, Callable[[Path], None]] = {"vanishes": Path.unlink, "shrinks": shorter, "changes": other}


@pytest.fixture
def victims(pictures: Path) -> dict[str, Path]:
    """Case → the file of it that is damaged; of a series or a header with data not the first."""
    for name in ("b.png", "sub/c.png"):
        (pictures / name).unlink()
    for name, make in MAKERS.items():
        path = pictures / name
        path.parent.mkdir(exist_ok=True)
        make(path)
    found = {name: pictures / name for name in MAKERS}
    return found | {"mhd/v.mhd": pictures / "mhd/v.raw", "series": max((pictures / "series").iterdir())}


def masks(output: Path) -> dict[str, bytes]:
    found = (path for path in sorted(output.rglob("*")) if path.is_file())
    books = ("manifest", "report", "volumes", ".segcli-key", ".manifest")
    return {str(path.relative_to(output)): path.read_bytes() for path in found if not path.name.startswith(books)}


def outcomes(output: Path) -> dict[str, tuple[str, str]]:
    cases = json.loads((output / "report.json").read_text())["cases"]
    return {case["name"]: (case["status"], case["reason"] or "") for case in cases}


@pytest.mark.usefixtures("one_reader")
@pytest.mark.parametrize(
    ("damage", "moment"),
    [("vanishes", "before"), ("shrinks", "before"), ("changes", "before"), ("changes", "after")],
)
def test_each_fails_alone_and_the_next_run_makes_its_mask(
    predict: Predict,
    victims: dict[str, Path],
    tmp_path: Path,
    damage: str,
    moment: str,
) -> None:
    """Before or after its reader has read it, and always after the scan."""
    originals = {path: path.read_bytes() for path in victims.values()}
    assert predict(output=tmp_path / "undisturbed") == 0

    class Damaging(Readers):
        def submit_read(self, case: Case, *rest: Any) -> Future[Any]:
            if case.name in victims and moment == "before":
                DAMAGES[damage](victims[case.name])
            future = super().submit_read(case, *rest)
            if case.name in victims and moment == "after":
                future.exception(60)
                DAMAGES[damage](victims[case.name])
            return future

    assert predict(readers=Damaging) == 1
    expected = dict.fromkeys(victims, "failed") | {"a.png": "done"}
    assert {name: status for name, (status, _) in outcomes(tmp_path / "out").items()} == expected
    assert set(masks(tmp_path / "out")) == {"a.png"}
    for path, data in originals.items():
        path.write_bytes(data)
    assert predict() == 0
    assert masks(tmp_path / "out") == masks(tmp_path / "undisturbed")


@pytest.mark.usefixtures("one_reader")
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_image_read_in_bands_changes_while_the_network_works(
    predict: Predict, pictures: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first bands come from one image, its last from another: no mask of both."""
    monkeypatch.setattr(ahead, "HOLD_PIXELS", 5000)
    path = pictures / "v.tif"
    pixels = np.random.default_rng(2).integers(0, 255, (160, 48), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", tile=(16, 16))
    original = path.read_bytes()
    assert predict("--batch", "4", output=tmp_path / "undisturbed") == 0

    class Damages(RunObserver):
        def on_progress(self, case: Case, done: int, total: int) -> None:
            if case.name == "v.tif" and 1 < done < total and path.exists() and path.read_bytes() == original:
                DAMAGES[damage](path)

    assert predict("--batch", "4", observers=(Damages(),)) == 1
    assert outcomes(tmp_path / "out")["v.tif"][0] == "failed"
    assert set(masks(tmp_path / "out")) == {"a.png", "b.png", "sub/c.png"}
    path.write_bytes(original)
    assert predict("--batch", "4") == 0
    assert masks(tmp_path / "out") == masks(tmp_path / "undisturbed")
