"""segcli against MONAI's SlidingWindowInferer, the whole way from DICOM slices to masks.

``python benchmarks/vs_monai.py`` trains its own small models once (kept in --work) and makes its images: MR series of
512 × 512, a quarter of the slices with the organ. Tile 256, overlap 0.25, Gaussian blending for both; same weights.
Shorter: --slices 8 --rounds 1 --plugins unet. ``pip install '.[bench]'`` first.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
from contest import Contestant, contest, machine, table
from images import slices, write_dicom
from numpy.typing import NDArray
from small_model import make

SIZE = 512
SERIES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("benchmark_work"), help="models, images, masks")
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--plugins", nargs="+", default=["unet3p", "unet"], choices=["unet3p", "unet"])
    parser.add_argument("--model", type=Path, help="a model folder to run instead (its plugin with --plugins)")
    given = parser.parse_args()
    work: Path = given.work.resolve()
    images = work / f"dicom-{given.slices}"
    organs = []
    for start in range(0, given.slices, SERIES):
        made = slices(min(SERIES, given.slices - start), SIZE, 0.25, start)
        organs.append(made.organ)
        if not (images / f"series{start:04}").is_dir():
            write_dicom(made, images / f"series{start:04}", f"series{start:04}")
    for plugin in given.plugins:
        model = given.model or make(plugin, work / f"{plugin}-{given.base}", given.base)
        compare(plugin, model.resolve(), images, given, np.concatenate(organs))


def compare(plugin: str, model: Path, images: Path, given: argparse.Namespace, organ: NDArray[np.bool_]) -> None:
    common = {"inputs": [str(images)], "model": str(model), "threads": given.threads}
    masks = given.work.resolve() / "masks" / plugin

    def segcli(name: str, *options: str) -> Contestant:
        settings = {**common, "output": str(masks / name.replace(" ", "-")), "options": options}
        return Contestant(name, "segcli_worker.py", settings)

    def monai(name: str, **settings: object) -> Contestant:
        output = str(masks / name.replace(" ", "-"))
        return Contestant(name, "monai_worker.py", {**common, "output": output, "network": "textbook", **settings})

    gated, whole = segcli("segcli"), segcli("segcli, gate off", "--gate", "off")
    documented, tuned = monai("MONAI as documented", tuned=False), monai("MONAI tuned", tuned=True)
    ours = monai("MONAI tuned, segcli's network", tuned=True, network="segcli")
    everyone = [gated, whole, documented, tuned, ours]
    print(f"\n{plugin}, base {given.base}: {given.slices} slices of {SIZE} × {SIZE}, {given.rounds} rounds")
    contest(everyone, given.rounds)
    print(f"\n{machine()}, {given.threads} threads; medians of {given.rounds} rounds taken in turns")
    table(everyone, gated, "slices", given.slices)
    for rival in everyone[2:]:
        print(f"{rival.name} / segcli, gate off: {ratios(rival, whole)}")
    print(
        "network alone, gate off: MONAI as documented / segcli "
        f"{documented.median('network') / whole.median('network'):.2f}"
    )
    results = {
        "gated": read_seg(Path(f"{gated.settings['output']}_kept"), images),
        "whole": read_seg(Path(f"{whole.settings['output']}_kept"), images),
        "monai": read_monai(Path(str(documented.settings["output"]))),
    }
    filled = organ.any(axis=(1, 2))
    last = gated.rounds[-1]
    print(f"gate: {last['gated']} of {last['tiles']} tiles gated")
    print(
        f"Dice on organ slices, gated against ungated: {dice(results['gated'][filled], results['whole'][filled]):.4f}"
    )
    print(
        f"Dice on organ slices, ungated against MONAI: {dice(results['whole'][filled], results['monai'][filled]):.4f}"
    )
    for name, result in results.items():
        print(
            f"{name}: Dice against the truth {dice(result[filled], organ[filled]):.4f}, "
            f"{int(result[~filled].any(axis=(1, 2)).sum())} of {int((~filled).sum())} "
            "empty slices with a false positive"
        )


def ratios(rival: Contestant, ours: Contestant) -> str:
    wall, cpu = (rival.median(what) / ours.median(what) for what in ("wall", "cpu"))
    return f"{wall:.2f} (CPU {cpu:.2f})"


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def read_seg(folder: Path, images: Path) -> NDArray[np.bool_]:
    """Every slice of every series, series in order; a slice without a frame is empty."""
    found = []
    segs = {path.parent.name: path for path in folder.rglob("SEG_*.dcm")}
    for series in sorted(images.iterdir()):
        count = len(list(series.glob("*.dcm")))
        planes = np.zeros((count, SIZE, SIZE), bool)
        data = highdicom.seg.segread(segs[series.name])
        frames = data.pixel_array.reshape(-1, SIZE, SIZE)
        for frame, item in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
            z = float(item.PlanePositionSequence[0].ImagePositionPatient[2])
            planes[round(z)] |= frame > 0
        found.append(planes)
    return np.concatenate(found)


def read_monai(folder: Path) -> NDArray[np.bool_]:
    planes = [np.asanyarray(nib.load(path).dataobj).squeeze() > 0 for path in sorted(folder.rglob("*.nii.gz"))]
    return np.stack(planes)


if __name__ == "__main__":
    main()
