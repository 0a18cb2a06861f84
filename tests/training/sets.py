"""Tiny data sets: bright squares (label 1) with a brighter core (label 2) on the middle slices of a stack."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

SLICES, ROWS, COLUMNS = 6, 16, 18
SPACING = (0.9, 0.8, 2.5)


def stack(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 and labels uint8, ``[slice, row, column]``; the first and the last two slices are empty."""
    draw = np.random.default_rng(seed)
    labels = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    for plane in labels[1:4]:
        row, column = draw.integers(1, 8, 2)
        plane[row : row + 7, column : column + 7] = 1
        plane[row + 2 : row + 5, column + 2 : column + 5] = 2
    return (labels * 2.0 + draw.normal(0, 0.2, labels.shape)).astype(np.float32), labels


def save_volume(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> None:
    """``[slice, row, column]`` as NIfTI: columns to the Left, rows to Posterior, as in most files."""
    affine = np.diag([-SPACING[1], -SPACING[0], SPACING[2], 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(voxels.transpose(2, 1, 0), affine), path)


def nnunet_set(folder: Path, cases: int, channels: int = 1, labels: dict[str, int] | None = None) -> Path:
    """nnU-Net's raw layout with cases ``c_001 …``; channel 1 is the negative of channel 0."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(1, cases + 1):
        image, mask = stack(number)
        for channel in range(channels):
            save_volume(folder / "imagesTr" / f"c_{number:03}_{channel:04}.nii.gz", image * (1 - 2 * channel))
        save_volume(folder / "labelsTr" / f"c_{number:03}.nii.gz", mask)
    description = {
        "channel_names": {str(channel): ("T1", "T2")[channel] for channel in range(channels)},
        "labels": labels or {"background": 0, "square": 1, "core": 2},
        "numTraining": cases,
        "file_ending": ".nii.gz",
        "licence": "CC0-1.0",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def png_set(folder: Path, cases: int) -> Path:
    """``images/a1.png`` (grey, 8 bit) and ``masks/a1.png`` (0 and 255)."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(1, cases + 1):
        image, mask = (part[2] for part in stack(number))
        grey = np.clip(image * 40 + 60, 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / "images" / f"a{number}.png")
        Image.fromarray((mask > 0).astype(np.uint8) * 255).save(folder / "masks" / f"a{number}.png")
    return folder
