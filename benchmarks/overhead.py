"""Wall time of ``segcli predict`` over the bare forward passes of the tiles it had to compute, in a warm process.

``python benchmarks/overhead.py``; needs the work folder of vs_monai.py (or makes it). Goal: at most 1.10 over 64
slices. Shorter: --slices 16 --rounds 1.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from contest import Contestant, contest, machine, table
from images import slices, write_dicom
from small_model import make

SERIES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("benchmark_work"))
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--gate", choices=["auto", "off"], default="auto")
    given = parser.parse_args()
    work: Path = given.work.resolve()
    model = make("unet3p", work / "unet3p-16")
    images = work / f"dicom-{given.slices}"
    for start in range(0, given.slices, SERIES):
        folder = images / f"series{start:04}"
        if not folder.is_dir():
            write_dicom(slices(min(SERIES, given.slices - start), 512, 0.25, start), folder, folder.name)
    common = {"model": str(model), "threads": given.threads}
    options = ["--gate", given.gate, "--batch", str(given.batch), "--precision", "float32", "--device", "cpu"]
    settings = {**common, "inputs": [str(images)], "output": str(work / "masks" / "overhead"), "options": options}
    whole = Contestant("segcli predict", "segcli_worker.py", settings)
    contest([whole], 1)  # how many tiles there are
    tiles, decoded = whole.rounds[0]["tiles"], whole.rounds[0]["tiles"] - whole.rounds[0]["gated"]
    whole.rounds.clear()
    bare = Contestant(
        "forward passes alone", "bare_worker.py", {**common, "batch": given.batch, "tiles": tiles, "decoded": decoded}
    )
    contest([whole, bare], given.rounds)
    print(f"\n{machine()}, {given.threads} threads; {tiles} tiles, {decoded} decoded")
    table([whole, bare], bare, "slices", given.slices)


if __name__ == "__main__":
    main()
