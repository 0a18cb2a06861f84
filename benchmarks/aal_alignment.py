"""Where Debian's AAL labels fit Colin27 best: ``python benchmarks/aal_alignment.py /usr/share/mricron/templates``.

AAL was drawn on Colin27, so its labels should tell most about the grey values where the two lie on each other. Prints
the mutual information (nats) of labels and grey values in the brain for shifts of the labels by whole voxels, best
first, once over the whole brain and once without anything near the hippocampi; no segmentation takes part.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

GREY_BINS, LABELS = 32, 256
HIPPOCAMPI = (37, 38)  # AAL: left, right
FAR = 20  # voxels around the hippocampi that the second table leaves out
EDGE = 6
INNER = (slice(EDGE, -EDGE),) * 3


def mutual_information(grey: NDArray[np.intp], labels: NDArray[np.intp]) -> float:
    pairs = np.bincount(grey * LABELS + labels, minlength=GREY_BINS * LABELS).reshape(GREY_BINS, LABELS) / grey.size
    apart = pairs.sum(1, keepdims=True) * pairs.sum(0, keepdims=True)
    seen = pairs > 0
    return float((pairs[seen] * np.log(pairs[seen] / apart[seen])).sum())


def main(templates: Path) -> None:
    image, labels, brain = (
        np.asanyarray(nib.as_closest_canonical(nib.load(templates / f"{name}.nii.gz")).dataobj).astype(np.intp)
        for name in ("ch2", "aal", "ch2bet")
    )
    inside = np.argwhere(np.isin(labels, HIPPOCAMPI))
    far = np.ones(labels.shape, bool)
    far[tuple(slice(a - FAR, b + FAR) for a, b in zip(inside.min(0), inside.max(0), strict=True))] = False
    for name, region in (("whole brain", brain > 0), ("away from the hippocampi", (brain > 0) & far)):
        where = region[INNER]
        grey = image[INNER][where] * GREY_BINS // 256
        found = []
        for shift in itertools.product((-1, 0, 1), (-2, -1, 0, 1), (-2, -1, 0, 1)):
            moved = np.roll(labels, shift, axis=(0, 1, 2))[INNER][where]
            found.append((mutual_information(grey, moved), shift))
        found.sort(reverse=True)
        print(f"{name}: labels moved by (right, front, top) voxels")
        for rank, (value, shift) in enumerate(found, start=1):
            if rank <= 3 or shift == (0, 0, 0):
                print(f"  {rank:2}. {shift}: {value:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
