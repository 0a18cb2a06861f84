"""Where masks of the shipped models fall apart: the figures behind the limits in ``segcli/engine/scope.py``.

``python benchmarks/scope_limits.py DATASET TEMPLATES``: the data set in nnU-Net's layout that the models were trained
on (ten of its test patients are used), and ``/usr/share/mricron/templates`` of Debian's package mricron-data.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

import segcli
from segcli.catalog import load_catalog
from segcli.engine.model import LoadedModel, load_model

AAL_HIPPOCAMPI = (37, 38)
AAL_SHIFT = (0, -1, -1)  # voxels to the right, front, top: see benchmarks/aal_alignment.py
NEAR = 4  # mm
BOXES = ((43, 54, 94), (80, 80, 80), (80, 90, 94), (100, 100, 100), (120, 120, 120), (150, 150, 150), (999, 999, 999))


def lps(path: Path) -> NDArray[Any]:
    """``[slice, row, column]`` in LPS order."""
    image = nib.as_closest_canonical(nib.load(path))
    return np.ascontiguousarray(np.asanyarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0))


def masked(image: NDArray[Any], model: LoadedModel, spacing: Sequence[float] = (1, 1, 1)) -> NDArray[Any]:
    pixels = np.ascontiguousarray(image, np.float32)
    return segcli.segment(pixels, model, axes="ZYX", spacing=tuple(spacing)).pixels  # type: ignore[no-any-return]


def dice(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean of both labels."""
    each = [
        2 * ((found == value) & (truth == value)).sum() / max(1, (found == value).sum() + (truth == value).sum())
        for value in (1, 2)
    ]
    return float(np.mean(each))


def resized(stack: NDArray[Any], size: Sequence[int], mode: str) -> NDArray[Any]:
    tensor = torch.from_numpy(stack.astype(np.float32))[:, None]
    antialias = {"antialias": True} if mode == "bilinear" else {}
    return functional.interpolate(tensor, size=list(size), mode=mode, **antialias)[:, 0].numpy()


def of_middle(image: NDArray[Any], truth: NDArray[Any], share: float, model: LoadedModel) -> float:
    """Dice on the middle of a crop, with this share of its rows and columns."""
    first = [round(side * (1 - share) / 2) for side in image.shape[1:]]
    rows, columns = (slice(a, a + round(side * share)) for a, side in zip(first, image.shape[1:], strict=True))
    return dice(masked(image[:, rows, columns], model), truth[:, rows, columns])


def of_coarse(image: NDArray[Any], truth: NDArray[Any], step: float, model: LoadedModel) -> float:
    """Dice of a crop with pixels ``step`` mm apart."""
    size = [max(1, round(side / step)) for side in image.shape[1:]]
    real = [side / pixels for side, pixels in zip(image.shape[1:], size, strict=True)]
    found = masked(resized(image, size, "bilinear"), model, (*real, 1.0))
    return dice(resized(found, image.shape[1:], "nearest-exact"), truth)


def near_in_box(head: NDArray[Any], hippocampi: NDArray[Any], size: Sequence[int], model: LoadedModel) -> float:
    """Share of the voxels found in a box around both hippocampi that lie near one."""
    inside = np.argwhere(hippocampi)
    middle = (inside.min(axis=0) + inside.max(axis=0)) // 2
    box = tuple(slice(max(0, m - n // 2), max(0, m - n // 2) + n) for m, n in zip(middle, size, strict=True))
    found = masked(head[box], model) > 0
    near = ndimage.binary_dilation(hippocampi, iterations=NEAR)
    return float((found & near[box]).sum() / max(1, found.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("templates", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    unscoped = {}
    for name in ("unet", "unet3p"):
        loaded = load_model(name, load_catalog())
        unscoped[name] = replace(loaded, card=replace(loaded.card, scope=None))
    unet = unscoped["unet"]
    crops = []
    for patient in unet.card.training["split"]["test"][:10]:
        names = [f"hippocampus_{case:03}" for case in (2 * patient - 1, 2 * patient)]
        name = next(name for name in names if (given.dataset / f"labelsTr/{name}.nii.gz").exists())
        pair = (given.dataset / f"imagesTr/{name}_0000.nii.gz", given.dataset / f"labelsTr/{name}.nii.gz")
        crops.append(tuple(lps(path) for path in pair))
    for words, measure, values in (("middle", of_middle, (1, 0.8, 0.6, 0.5, 0.4)), ("mm", of_coarse, (1, 2, 3, 4, 5))):
        for value in values:
            found = [measure(*crop, value, unet) for crop in crops]
            print(f"unet, {words} {value}: Dice {np.mean(found):.2f}, worst {min(found):.2f}", flush=True)
    head = lps(given.templates / "ch2.nii.gz")
    labels = nib.as_closest_canonical(nib.load(given.templates / "aal.nii.gz"))
    moved = np.roll(np.isin(np.asanyarray(labels.dataobj), AAL_HIPPOCAMPI), AAL_SHIFT, axis=(0, 1, 2))
    hippocampi = moved[::-1, ::-1].transpose(2, 1, 0)
    for name, model in unscoped.items():
        for size in BOXES:
            share = near_in_box(head, hippocampi, size, model)
            print(f"{name}, box {' × '.join(map(str, size))}: {share:.2f} near", flush=True)


if __name__ == "__main__":
    main()
