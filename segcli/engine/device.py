"""Which device, precision and batch a run uses; what ``auto`` means, and a clear error for what is not there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from segcli.engine.tiles import Layout
from segcli.errors import UsageError
from segcli.settings import Precision

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH_PIXELS = {"cpu": 131_072, "cuda": 2_097_152, "mps": 524_288}
"""Pixels of input per batch: enough to keep the device busy, little enough for its caches or memory."""


def choose_device(wanted: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda[:n]`` or ``mps`` → device. Raises UsageError if it is not there; never falls back."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UsageError(f"--device {wanted}: use auto, cpu, cuda, cuda:N or mps") from error
    there: dict[str, Callable[[], bool]] = {
        "cpu": lambda: True,
        "cuda": lambda: (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available,
    }
    if device.type not in there:
        raise UsageError(f"--device {wanted}: use auto, cpu, cuda, cuda:N or mps")
    if not there[device.type]():
        raise UsageError(
            f"--device {wanted}: this machine has no such device that torch can use; --device cpu always works"
        )
    return device


def choose_precision(wanted: Precision, device: torch.device) -> Precision:
    """``auto`` → bfloat16 where the hardware gains by it, float32 elsewhere. Raises UsageError if asked in vain."""
    if wanted == "float16" and device.type == "cpu":
        raise UsageError("--precision float16 needs a GPU; on a CPU use bfloat16 or float32")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    # MPS autocast is not validated here. A CPU gains by matrix tiles (AMX) only: with AVX-512's bfloat16 alone, tiles
    # took as long as in float32 (UNet 3+) or 1.6 times as long (U-Net), and training 1.4 times as long
    return "bfloat16" if device.type == "cpu" and torch.cpu._is_amx_tile_supported() else "float32"


def choose_batch(wanted: int | None, device: torch.device, tile: Sequence[int]) -> int:
    """Tiles a batch."""
    if wanted is not None:
        return wanted
    return max(1, min(64, BATCH_PIXELS[device.type] // math.prod(tile)))


def accumulators_device(device: torch.device, layout: Layout, outputs: int, memory: int) -> torch.device:
    """Where a unit's tiles are blended: on the device, or on the CPU where its band passes half of ``memory`` (bytes).

    A rule of sizes, not of what is free just now: the same input must give the same bytes.
    """
    pixels = layout.returned[0] * math.prod(layout.size[1:])
    return device if 4 * pixels * (2 * outputs + 1) <= memory // 2 else torch.device("cpu")
