"""How well the masks of the sample's MR series agree with AAL's outline, and the picture of the README.

``python benchmarks/sample_agreement.py sample_data_masks``: per side Dice and the share of predicted voxels inside,
against AAL where it belongs and, one voxel off, where its file puts it (``sample_data/make.py`` says why).
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

ROOT = Path(__file__).parent.parent
COLOURS = {1: (255, 170, 0), 2: (0, 150, 255)}
ZOOM = 5
AS_FILED = (1, -1)  # slices up, rows to the front: undoes make.py's move


def read_masks(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """``[slice, row, column]`` label numbers of a SEG, each frame put where its source instance lies."""
    seg = dcmread(path)
    numbers = {
        dcmread(file, stop_before_pixels=True).SOPInstanceUID: index
        for index, file in enumerate(sorted((ROOT / "sample_data" / "mr_series").glob("*.dcm")))
    }
    frames = np.atleast_3d(seg.pixel_array).reshape(-1, *shape[1:])
    shared = seg.SharedFunctionalGroupsSequence[0]
    masks = np.zeros(shape, np.uint8)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        where = groups if "SegmentIdentificationSequence" in groups else shared
        masks[numbers[source]][frame > 0] = where.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return masks


def main(output: Path) -> None:
    outline = np.asanyarray(nib.load(ROOT / "docs" / "aal_hippocampi.nii.gz").dataobj).transpose(2, 1, 0)
    masks = read_masks(next((output / "mr_series").glob("SEG_*.dcm")), outline.shape)
    middle = outline.shape[2] // 2  # columns run to the patient's left
    for name, reference in (("moved by a voxel", outline), ("as its file has it", np.roll(outline, AS_FILED, (0, 1)))):
        for side, value, half in (("left", 1, np.s_[:, :, middle:]), ("right", 2, np.s_[:, :, :middle])):
            found, truth = masks[half] > 0, reference[half] == value
            both = np.count_nonzero(found & truth)
            dice = 2 * both / (np.count_nonzero(found) + np.count_nonzero(truth))
            print(f"AAL {name}, {side}: Dice {dice:.3f}, inside AAL {both / max(1, np.count_nonzero(found)):.3f}")
    files = sorted((ROOT / "sample_data" / "mr_series").glob("*.dcm"))
    shown = [len(files) // 2 - 12, len(files) // 2 - 5, len(files) // 2 + 2]
    panels = []
    for index in shown:
        grey = dcmread(files[index]).pixel_array
        colour = np.stack([grey] * 3, axis=-1).astype(float)
        for value, rgb in COLOURS.items():
            chosen = masks[index] == value
            colour[chosen] = 0.5 * colour[chosen] + 0.5 * np.array(rgb)
        panels.append(np.kron(np.concatenate([np.stack([grey] * 3, axis=-1), colour]), np.ones((ZOOM, ZOOM, 1))))
    Image.fromarray(np.concatenate(panels, axis=1).astype(np.uint8)).save(ROOT / "docs" / "result.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
