import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.training.dataset import pad_to, read_dataset, split_patients


def patient_of(name: str) -> int:
    return (int(name.split("_")[1]) + 1) // 2


def write_case(folder: Path, name: str, affine: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """A volume [4, 5, 6] whose values all differ, and labels that mark its last voxel."""
    voxels = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[-1, -1, -1] = 2
    moved = affine.copy()
    moved[0, 3] += shift
    nib.save(nib.Nifti1Image(voxels, affine), folder / "imagesTr" / f"{name}_0000.nii.gz")
    nib.save(nib.Nifti1Image(labels, moved), folder / "labelsTr" / f"{name}.nii.gz")
    return voxels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    return tmp_path


def test_columns_go_left_rows_posterior_slices_superior(folder: Path) -> None:
    voxels = write_case(folder, "x_001", np.diag([1.0, 1.0, 2.0, 1.0]))  # indices go Right, Anterior, Superior
    (case,) = read_dataset(folder, patient_of)
    expected = voxels[::-1, ::-1].transpose(2, 1, 0)
    np.testing.assert_allclose(case.image, (expected - expected.mean()) / expected.std(), rtol=1e-5)
    assert np.argwhere(case.labels).tolist() == [[5, 0, 0]]  # rightmost, most anterior, top
    assert (case.voxel, case.patient) == (2.0, 1)


def test_another_storage_order_gives_the_same_anatomy(folder: Path) -> None:
    write_case(folder, "x_001", np.diag([-1.0, -1.0, 1.0, 1.0]))  # stored Left, Posterior, Superior
    (case,) = read_dataset(folder, patient_of)
    assert np.argwhere(case.labels).tolist() == [[5, 4, 3]]


def test_labels_of_another_geometry_are_refused(folder: Path) -> None:
    write_case(folder, "x_001", np.eye(4), shift=3.0)
    with pytest.raises(UsageError, match="x_001"):
        read_dataset(folder, patient_of)


def test_an_image_without_labels_is_refused(folder: Path) -> None:
    write_case(folder, "x_001", np.eye(4))
    (folder / "labelsTr" / "x_001.nii.gz").unlink()
    with pytest.raises(UsageError, match="x_001: no labels"):
        read_dataset(folder, patient_of)


def test_an_empty_folder_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="holds no image"):
        read_dataset(folder, patient_of)


def test_patients_never_stand_in_two_groups() -> None:
    patients = [(case + 1) // 2 for case in range(1, 41)]
    split = split_patients(patients, validation=4, test=5, seed=3)
    assert (len(split.train), len(split.validation), len(split.test)) == (11, 4, 5)
    assert sorted(split.train + split.validation + split.test) == list(range(1, 21))
    assert split == split_patients(patients, validation=4, test=5, seed=3)
    assert split != split_patients(patients, validation=4, test=5, seed=4)


def test_padding_reflects_repeatedly_and_evenly() -> None:
    assert pad_to(np.array([[0, 1, 2]]), (1, 8))[0].tolist() == [2, 1, 0, 1, 2, 1, 0, 1]
    assert pad_to(np.arange(12).reshape(3, 4), (2, 2)).shape == (3, 4)
