"""A contestant: nothing but the network, on as many tiles as ``segcli predict`` had to compute.

The tiles are random numbers in batches of ``batch``; all are encoded and asked for presence, ``decoded`` of
them decoded.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from contest import serve

from segcli.catalog import load_catalog
from segcli.engine.allocator import keep_freed_memory
from segcli.engine.model import load_model


def main(settings: dict[str, Any]) -> None:
    keep_freed_memory()
    loaded = load_model(settings["model"], load_catalog())
    network: Any = loaded.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = settings["batch"]
    x = torch.rand(batch, 1, *loaded.card.tile).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def work() -> dict[str, Any]:
        for _ in range(-(-settings["tiles"] // batch)):
            features = network.encode(x)
            network.presence(features)
        for _ in range(-(-settings["decoded"] // batch)):
            network.decode(features)
        return {"network": 0.0, "tiles": settings["tiles"], "gated": settings["tiles"] - settings["decoded"]}

    serve(work, settings["threads"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
