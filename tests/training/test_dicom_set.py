"""DICOM series with DICOM SEG masks: paired by the images the SEG names, slices without a frame are empty."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from segcli.contract import Label, ModelCard
from segcli.errors import UsageError
from segcli.formats.dicom.format import FORMAT
from segcli.formats.interface import MaskRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.image import LabelMap
from segcli.pairing.layout import read_layout
from segcli.settings import PredictSettings
from segcli.training.source import read_all
from segcli.training.splitting import group_by_folder

SERIES = Path(__file__).parents[2] / "sample_data/mr_series"
CARD = ModelCard(
    plugin="unet", name="x", version="1", license="CC0-1.0", spatial_dims=2, channels=("T1",),
    labels=(Label(3, "a", (1, 2, 3)),), tile=(16, 16), overlap=(0, 0), margin=(0, 0),
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Five slices of a series; the SEG, of another name, holds label 3 on two of them."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "images/case1").mkdir(parents=True)
    (folder / "masks").mkdir()
    for path in sorted(SERIES.glob("*.dcm"))[:5]:
        shutil.copy(path, folder / "images/case1")
    with Readers(1) as readers:
        (case,) = scan([folder / "images"], ScanOptions(key=b"x"), readers).cases
    assert case.shape is not None
    labels = np.zeros(case.shape, np.uint8)
    labels[1, 10:20, 30:50] = labels[3, 40, 7] = 3
    request = MaskRequest(CARD, PredictSettings(), "0")
    FORMAT.write(folder / "masks/tumour.dcm", case, [LabelMap(labels)], request)
    return folder, labels


def test_frames_go_where_their_images_lie(dataset: tuple[Path, np.ndarray]) -> None:
    folder, labels = dataset
    (example,), layout = read_all(read_layout(folder), None, group_by_folder)
    np.testing.assert_array_equal(example.labels[0], labels)
    assert example.parts[0].shape == (5, 1, *labels.shape[1:])
    assert (example.modality, layout.channels) == ("MR", ("image",))


def test_a_seg_of_images_that_are_not_there_is_refused(dataset: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    shutil.copytree(dataset[0], tmp_path / "set")
    layout = read_layout(tmp_path / "set")
    images = sorted((tmp_path / "set/images/case1").glob("*.dcm"))
    images[3].unlink()  # one of the two images that the SEG has frames of
    with pytest.raises(UsageError, match=r"^case1: its DICOM SEG has a frame of an image that is not in the folder$"):
        read_all(layout, None, group_by_folder)
    images[1].unlink()  # and the other: now the SEG belongs to nothing that is there
    with pytest.raises(UsageError, match=r"^an image without a mask: case1 of "):
        read_all(layout, None, group_by_folder)
