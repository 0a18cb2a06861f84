"""Reading an nnU-Net raw dataset (``dataset.json``, ``imagesTr``, ``labelsTr``) into slices in one orientation.

Patients, not slices or cases, are what a split separates: slices of one patient are anything but independent.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError


@dataclass(frozen=True)
class TrainingCase:
    """``image`` float32 ``[slice, row, column]``, z-scored over the case; ``labels`` uint8, same shape; LPS order.

    ``voxel`` is the volume of one voxel in mm³.
    """

    name: str
    patient: int
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    voxel: float


@dataclass(frozen=True)
class Split:
    """Patients by what they are used for; no patient is in two of them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def read_dataset(folder: Path, patient_of: Callable[[str], int]) -> list[TrainingCase]:
    """All cases of one-channel NIfTI pairs. Raises UsageError naming an image without labels or another geometry."""
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    ending = description["file_ending"]
    cases = []
    for image_path in sorted((folder / "imagesTr").glob(f"*_0000{ending}")):
        name = image_path.name.removesuffix(f"_0000{ending}")
        label_path = folder / "labelsTr" / f"{name}{ending}"
        if not label_path.is_file():
            raise UsageError(f"{name}: no labels in labelsTr")
        image, affine = _read_lps(image_path)
        labels, label_affine = _read_lps(label_path)
        if image.shape != labels.shape or not np.allclose(affine, label_affine, atol=1e-3):
            raise UsageError(f"{name}: image and labels do not have the same geometry")
        pixels = image.astype(np.float32)
        pixels = (pixels - pixels.mean()) / max(float(pixels.std()), 1e-8)
        voxel = float(abs(np.linalg.det(affine[:3, :3])))
        cases.append(TrainingCase(name, patient_of(name), pixels, labels.astype(np.uint8), voxel))
    if not cases:
        raise UsageError(f"{folder}: imagesTr holds no image ending in _0000{ending}")
    return cases


def split_patients(patients: Sequence[int], validation: int, test: int, seed: int) -> Split:
    """A seeded split into disjoint groups of these sizes, the rest for training."""
    shuffled = sorted(set(patients))
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - reproducible, not secret
    return Split(
        train=tuple(sorted(shuffled[validation + test :])),
        validation=tuple(sorted(shuffled[:validation])),
        test=tuple(sorted(shuffled[validation : validation + test])),
    )


def pad_to(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """``[..., row, column]`` padded by reflection, evenly on both sides, to at least ``size``, as predict pads."""
    missing = [max(0, want - have) for want, have in zip(size, plane.shape[-2:], strict=True)]
    widths = [(0, 0)] * (plane.ndim - 2) + [(m // 2, m - m // 2) for m in missing]
    return np.pad(plane, widths, mode="reflect")


def _read_lps(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    image = nib.as_closest_canonical(nib.load(path))
    voxels = np.asanyarray(image.dataobj)  # indices increase to the Right, Anterior, Superior
    return np.ascontiguousarray(voxels[::-1, ::-1].transpose(2, 1, 0)), image.affine
