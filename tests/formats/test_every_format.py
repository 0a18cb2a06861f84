"""Every format of the table keeps to what scan, reader processes and writer expect of it (conformance.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import conformance
import imagecodecs
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from conformance import GREY, REQUEST, mask_of

from segcli.errors import WriteError
from segcli.formats.atomic import Target, write_mask
from segcli.formats.interface import Format
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.formats.table import FORMATS, HEAD, load_format, recognise
from segcli.image import LabelMap

sys.path.insert(0, str(Path(__file__).parent / "dicom"))
import dicom_making as making

PIXELS = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)
VOLUME = np.arange(3 * 20 * 24, dtype=np.int16).reshape(3, 20, 24)

MAKERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a.png": ("png", lambda path: path.write_bytes(imagecodecs.png_encode(PIXELS))),
    "b.jpg": ("jpeg", lambda path: path.write_bytes(imagecodecs.jpeg_encode(PIXELS))),
    "c.tif": ("tiff", lambda path: tifffile.imwrite(path, VOLUME.astype(np.uint16), photometric="minisblack")),
    "d.nii.gz": ("nifti", lambda path: nibabel.Nifti1Image(VOLUME.T, np.diag([1, 2, 3, 1])).to_filename(path)),
    "e.nii": ("nifti", lambda path: nibabel.Nifti2Image(VOLUME.T, np.diag([1, 2, 3, 1])).to_filename(path)),
    "f.nrrd": ("nrrd", lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path))),
    "g.mha": ("mha", lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path))),
    "h.mhd": ("mha", lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path))),
    "ct": ("dicom", lambda path: making.save_all(making.stack(making.phantom()), path)),
}
ONE_OF_EACH = {name: file for file, (name, _) in reversed(MAKERS.items()) if file not in ("d.nii.gz", "h.mhd")}
"""Format → the file that stands for it."""


@pytest.fixture(params=FORMATS)
def source(request: pytest.FixtureRequest) -> Format:
    found = load_format(request.param)
    assert found.name == request.param
    return found


@pytest.fixture
def example(source: Format, tmp_path: Path) -> Path:
    """A folder with one image of the format."""
    (tmp_path / "example").mkdir()
    file = ONE_OF_EACH[source.name]
    MAKERS[file][1](tmp_path / "example" / file)
    return tmp_path / "example"


def test_it_recognises_its_own_files_alone(source: Format, example: Path) -> None:
    conformance.check_recognition(source, example, [load_format(name) for name in FORMATS])


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_light_until_a_file_is_read(name: str) -> None:
    conformance.check_lightness(FORMATS[name])


def test_its_files_are_a_case(source: Format, example: Path) -> None:
    conformance.check_case(source, example)


def test_its_masks_read_back(source: Format, example: Path, tmp_path: Path) -> None:
    conformance.check_masks(source, example, tmp_path / "out")


def test_its_masks_come_in_bands_or_whole(source: Format, example: Path, tmp_path: Path) -> None:
    conformance.check_bands(source, example, tmp_path / "out")


def test_it_keeps_to_the_limits(source: Format, example: Path) -> None:
    conformance.check_limits(source, example)


def test_damage_is_told_in_one_line(source: Format, example: Path) -> None:
    conformance.check_damage(source, example)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All of them in one folder."""
    (tmp_path / "in").mkdir()
    for name, (_, make) in MAKERS.items():
        make(tmp_path / "in" / name)
    return tmp_path / "in"


def test_a_mixed_folder_is_answered_in_kind(folder: Path, tmp_path: Path) -> None:
    with Readers(1) as readers:
        found = scan([folder], ScanOptions(b"key"), readers)
        assert [(entry.name, entry.reason) for entry in found.left_out] == []
        assert len(found.cases) == len(MAKERS)
        for case in found.cases:
            parts = readers.submit_read(case, GREY, 30).result(40).parts
            masks = [mask_of(part) for part in parts]
            target = Target(tmp_path / "out" / case.output, tmp_path / "out", "t")
            first = write_mask(target, case, masks, REQUEST)
            assert write_mask(target, case, masks, REQUEST) == first, case.name  # equal input, equal bytes
            if case.format != "dicom":
                labels = readers.read_labels(case.format, target.path)
                assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(labels, masks, strict=True)), case.name
    written = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {Path(case.output) for case in found.cases}


def test_a_mask_spoilt_on_its_way_is_noticed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Readers(1) as readers:
        for case in scan([folder], ScanOptions(b"key"), readers).cases:
            parts = readers.submit_read(case, GREY, 30).result(40).parts
            masks = [mask_of(part) for part in parts]
            write = load_format(case.format).write

            def spoilt(path: Path, case_: object, given: list[LabelMap], request: object, write=write) -> None:  # type: ignore[no-untyped-def]
                pixels = given[-1].pixels.copy()
                pixels[-1, -1, -1] = (pixels[-1, -1, -1] + 1) % 3
                write(path, case_, [*given[:-1], replace(given[-1], pixels=pixels)], request)

            with monkeypatch.context() as patch:
                patch.setattr(type(load_format(case.format)), "write", staticmethod(spoilt))
                with pytest.raises(WriteError, match="did not read back"):
                    write_mask(Target(tmp_path / "out" / case.output, tmp_path / "out"), case, masks, REQUEST)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"ct"}))
def test_a_file_is_recognised_by_its_content(name: str, tmp_path: Path) -> None:
    expected, make = MAKERS[name]
    make(tmp_path / name)
    assert recognise((tmp_path / name).read_bytes()[:HEAD]) == expected
