"""Images, and the mask that the tests' model draws on them, written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

import segcli
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
