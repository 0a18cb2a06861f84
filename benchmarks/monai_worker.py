"""A contestant: MONAI's SlidingWindowInferer over the slices of a DICOM folder, as its documentation drives it.

LoadImage (ITK) → ScaleIntensityRange → DataLoader → SlidingWindowInferer → AsDiscrete → SaveImage. ``tuned`` adds what
MONAI can use: inference mode, channels_last, autocast to bfloat16 where the processor gains by it (AMX), all tiles of
a slice in one batch, reading ahead in a worker.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from contest import serve
from monai.data import DataLoader, Dataset, ITKReader, decollate_batch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    AsDiscrete,
    Compose,
    EnsureChannelFirst,
    LoadImage,
    SaveImage,
    ScaleIntensityRange,
    SqueezeDim,
)
from textbook import Textbook

from segcli.catalog import load_catalog
from segcli.engine.model import load_model


def main(settings: dict[str, Any]) -> None:
    loaded = load_model(settings["model"], load_catalog())
    card, tuned = loaded.card, settings["tuned"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = loaded.network if settings["network"] == "segcli" else Textbook(card.plugin, loaded.network)
    network.eval().to(device)
    bfloat16 = tuned and (device.type == "cuda" or torch.cpu._is_amx_tile_supported())
    if tuned:
        network.to(memory_format=torch.channels_last)
    files = sorted(str(path) for folder in settings["inputs"] for path in Path(folder).rglob("*.dcm"))
    output = Path(settings["output"])
    low, high = card.intensity.low, card.intensity.high
    transforms = Compose(
        [
            LoadImage(reader=ITKReader(reverse_indexing=True), image_only=True),
            EnsureChannelFirst(),
            SqueezeDim(dim=1),  # a DICOM slice is a volume of one slice to ITK
            ScaleIntensityRange(low, high, 0.0, 1.0, clip=True),
        ]
    )
    inferer = SlidingWindowInferer(
        roi_size=card.tile,
        sw_batch_size=9 if tuned else 4,
        overlap=card.overlap[0] / card.tile[0],
        mode="gaussian",
    )
    decide = AsDiscrete(argmax=True)

    def work() -> dict[str, Any]:
        shutil.rmtree(output, ignore_errors=True)
        save = SaveImage(output_dir=output, output_postfix="seg", print_log=False, separate_folder=False)
        loader = DataLoader(Dataset(files, transforms), batch_size=1, num_workers=1 if tuned else 0)
        spent = 0.0
        guard = torch.inference_mode() if tuned else torch.no_grad()
        cast = torch.autocast(device.type, torch.bfloat16) if bfloat16 else contextlib.nullcontext()
        with guard, cast:
            for image in loader:
                start = time.perf_counter()
                x = image.to(device)
                logits = inferer(x.contiguous(memory_format=torch.channels_last) if tuned else x, network)
                for each in decollate_batch(logits):
                    labels = decide(each).cpu()
                    spent += time.perf_counter() - start
                    save(labels)
        return {"network": spent, "tiles": 0, "gated": 0}

    serve(work, settings["threads"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
