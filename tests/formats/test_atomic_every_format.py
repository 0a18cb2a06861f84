"""One folder with every format: scanned, read in a reader process, answered in its own format, verified."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile

from segcli.contract import Code, Label, ModelCard
from segcli.errors import WriteError
from segcli.formats.atomic import Target, write_mask
from segcli.formats.interface import MaskRequest, ReadRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.formats.table import HEAD, PLACES, load_format, recognise
from segcli.image import Image, LabelMap
from segcli.settings import PredictSettings

sys.path.insert(0, str(Path(__file__).parent / "dicom"))
import dicom_making as making

PIXELS = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)
VOLUME = np.arange(3 * 20 * 24, dtype=np.int16).reshape(3, 20, 24)
TISSUE = Code("SCT", "85756007", "Tissue")
LABELS = (Label(1, "one", (255, 0, 0), TISSUE, TISSUE), Label(2, "two", (0, 255, 0), TISSUE, TISSUE))
CARD = ModelCard("none", "test", "1", "CC0-1.0", 2, ("grey",), LABELS, (8, 8), (2, 2), (0, 0))
REQUEST = MaskRequest(CARD, PredictSettings(), "0")

MAKERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a.png": ("png", lambda path: path.write_bytes(imagecodecs.png_encode(PIXELS))),
    "b.jpg": ("jpeg", lambda path: path.write_bytes(imagecodecs.jpeg_encode(PIXELS))),
    "c.tif": ("tiff", lambda path: tifffile.imwrite(path, VOLUME.astype(np.uint16), photometric="minisblack")),
    "d.nii.gz": ("nifti", lambda path: nibabel.Nifti1Image(VOLUME.T, np.diag([1, 2, 3, 1])).to_filename(path)),
    "e.nii": ("nifti", lambda path: nibabel.Nifti2Image(VOLUME.T, np.diag([1, 2, 3, 1])).to_filename(path)),
    "f.nrrd": ("nrrd", lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path))),
    "g.mha": ("mha", lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path))),
    "h.mhd": ("mha", lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path))),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name, (_, make) in MAKERS.items():
        make(tmp_path / "in" / name)
    making.save_all(making.stack(making.phantom()), tmp_path / "in/ct")
    return tmp_path / "in"


def mask_of(image: Image) -> LabelMap:
    """Labels 0, 1, 2 in a pattern without symmetry."""
    slices, _, rows, columns = image.shape
    z, y, x = np.ogrid[:slices, :rows, :columns]
    return LabelMap(((x // 2 + 2 * (y // 3) + z) % 3).astype(np.uint8), image.geometry, image.extra)


def test_every_format_is_answered_in_kind(folder: Path, tmp_path: Path) -> None:
    with Readers(1) as readers:
        found = scan([folder], ScanOptions(b"key"), readers)
        assert [(entry.name, entry.reason) for entry in found.left_out] == []
        assert len(found.cases) == len(MAKERS) + 1
        for case in found.cases:
            parts = readers.submit_read(case, ReadRequest(channels=("grey",)), 30).result(40).parts
            masks = [mask_of(part) for part in parts]
            target = Target(tmp_path / "out" / case.output, tmp_path / "out", "t")
            first = write_mask(target, case, masks, REQUEST)
            assert write_mask(target, case, masks, REQUEST) == first, case.name  # equal input, equal bytes
            if case.format != "dicom":
                labels = readers.read_labels(case.format, target.path)
                assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(labels, masks, strict=True)), case.name
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert written == sorted(["ct", *(str(case.output) for case in found.cases)])


def test_a_mask_spoilt_on_its_way_is_noticed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Readers(1) as readers:
        for case in scan([folder], ScanOptions(b"key"), readers).cases:
            parts = readers.submit_read(case, ReadRequest(channels=("grey",)), 30).result(40).parts
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


def test_the_light_recognition_agrees_with_the_formats(folder: Path) -> None:
    for name, (expected, _) in MAKERS.items():
        head = (folder / name).read_bytes()[:HEAD]
        assert recognise(head) == expected, name
        if name != "d.nii.gz":  # formats are asked with unpacked bytes
            agreeing = [other for other in PLACES if load_format(other).recognises(head)]
            assert agreeing == [expected], name
