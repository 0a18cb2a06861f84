"""segcli's U-Net without gate against nnU-Net's predictor with a network of the same widths, NIfTI to NIfTI.

``python benchmarks/vs_nnunet.py``. Two rows of nnU-Net: the same work (overlap 0.25, no mirroring) and its defaults
(overlap 0.5, mirroring). Shorter: --slices 8 --rounds 1. ``pip install '.[bench]'`` first.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from contest import Contestant, contest, machine, table
from images import slices, write_nifti
from small_model import make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("benchmark_work"))
    parser.add_argument("--slices", type=int, default=16, help="of each of two volumes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-defaults", action="store_true", help="only the row of the same work")
    given = parser.parse_args()
    work: Path = given.work.resolve()
    model = make("unet", work / "unet-16")
    images = work / f"nifti-{given.slices}"
    for number in range(2):
        path = images / f"volume{number}_0000.nii.gz"
        if not path.is_file():
            write_nifti(slices(given.slices, 512, 0.25, number), path)
    common = {"inputs": [str(images)], "threads": given.threads}
    masks = work / "masks"
    ours = Contestant(
        "segcli, U-Net, gate off",
        "segcli_worker.py",
        {**common, "model": str(model), "output": str(masks / "unet"), "options": ["--gate", "off"]},
    )
    rival = {**common, "base": 16, "output": str(masks / "nnunet")}
    everyone = [
        ours,
        Contestant("nnU-Net, the same work", "nnunet_worker.py", {**rival, "step": 0.75, "mirroring": False}),
    ]
    if not given.no_defaults:
        everyone.append(
            Contestant("nnU-Net, its defaults", "nnunet_worker.py", {**rival, "step": 0.5, "mirroring": True})
        )
    contest(everyone, given.rounds)
    print(f"\n{machine()}, {given.threads} threads; medians of {given.rounds} rounds taken in turns")
    table(everyone, ours, "slices", 2 * given.slices)


if __name__ == "__main__":
    main()
