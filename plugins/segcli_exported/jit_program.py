"""TorchScript: what ``torch.jit.save`` writes.

``torch.jit.load`` reads the pickles inside with a reader of its own in C++ that knows tensors and the file's own
TorchScript classes and imports nothing from Python. The program itself may do what TorchScript can, and that includes
printing, reading and writing files, and running without end. torch advises against TorchScript on every call, with
another class of warning in every release: files that exist must still run, so nothing of it is passed on.
"""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


class TorchScriptProgram:
    """Raises RuntimeError if the bytes are no TorchScript."""

    def __init__(self, data: bytes) -> None:
        with warnings.catch_warnings(action="ignore"):
            self._module: Any = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
        # a frozen module has no mode any more
        if getattr(self._module, "training", False):
            self._module.eval()

    def move(self, device: torch.device) -> None:
        """All its tensors."""
        self._module.to(device)

    def __call__(self, x: Tensor) -> Any:
        """Calls its ``forward``."""
        return self._module(x)


class _Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Logits: object where the pixel is positive."""
        return torch.cat([-x, x], dim=1)


@lru_cache(maxsize=1)
def example_program() -> bytes:
    """The file of the example card."""
    stream = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(_Sign()), stream)
    return stream.getvalue()
