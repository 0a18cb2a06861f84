"""What a training run needs to go on after it was killed: one safetensors file, replaced atomically.

The step and the recipe stand in the file's own header, so tensors and step can never disagree.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segcli.errors import UsageError

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainingState:
    """The network, its averaged copy and the optimizer; ``save`` and ``load`` keep and restore all three."""

    network: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer

    def save(self, folder: Path, step: int, recipe: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps; a kill leaves the former file or the new one, never half of one."""
        folder.mkdir(parents=True, exist_ok=True)
        target, temporary = folder / FILE_NAME, folder / f".{FILE_NAME}.tmp"
        note = json.dumps({"step": step, "recipe": recipe})
        save_file({name: value.contiguous() for name, value in self._tensors().items()}, temporary, {"segcli": note})
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)

    def load(self, folder: Path, recipe: Mapping[str, Any]) -> int:
        """Restore the state; returns the steps done, 0 without a checkpoint. UsageError if it is of another recipe."""
        source = folder / FILE_NAME
        if not source.is_file():
            return 0
        try:
            with safe_open(source, framework="pt") as stream:
                note = json.loads((stream.metadata() or {})["segcli"])
            tensors = load_file(source)
        except (SafetensorError, KeyError, ValueError) as error:
            raise UsageError(f"{source} is not a checkpoint of segcli: remove it to start anew") from error
        if note["recipe"] != json.loads(json.dumps(recipe)):
            raise UsageError(f"{source} belongs to a run with another recipe: remove it or repeat that recipe")
        for prefix, module in (("network.", self.network), ("averaged.", self.averaged)):
            module.load_state_dict(_part(tensors, prefix))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer.").items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return int(note["step"])

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
        return tensors


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
