"""Checkpoints a kill cannot spoil and from which a run goes on to the very same weights. Safetensors and JSON only.

A checkpoint is one tensor file and one JSON file that names it with its SHA-256. The tensor file is complete before
the JSON file is renamed into place, so at any moment the JSON file names a whole checkpoint: the old or the new one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from segcli.errors import UsageError
from segcli.formats.atomic import write_bytes_atomically
from segcli.regular_file import read_regular

NOTES = "checkpoint.json"
_TENSORS = re.compile(r"step-\d{8,}\.safetensors")


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes in training; each part is captured and restored in place. ``losses``: of each step."""

    network: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    losses: list[float] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name: both networks, the optimizer's moments, random generators, losses."""
        found = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"averaged/{name}": value for name, value in self.averaged.state_dict().items()}
        for index, parameter in enumerate(self._parameters()):
            for name, value in self.optimizer.state[parameter].items():
                found[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
        found["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        found["random/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            found["random/cuda"] = torch.cuda.get_rng_state(self.device)
        return {name: value.detach().cpu().contiguous().clone() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor], scaler: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors`. Raises UsageError if they are of another network or version."""
        try:
            self.network.load_state_dict(_below(tensors, "network/"))
            self.averaged.load_state_dict(_below(tensors, "averaged/"))
            self.losses[:] = tensors["losses"].tolist()
        except (RuntimeError, KeyError) as error:
            raise UsageError("the checkpoint is of another network or version: train into another folder") from error
        for index, parameter in enumerate(self._parameters()):
            for name, value in _below(tensors, f"optimizer/{index}/").items():
                # in the memory order of the parameter: another order of summation would be another result
                placed = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
                self.optimizer.state[parameter][name] = placed.detach().copy_(value)
        if scaler:
            self.scaler.load_state_dict(dict(scaler))
        torch.set_rng_state(tensors["random/cpu"])
        if self.device.type == "cuda" and "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self.device)

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


@dataclass(frozen=True)
class Checkpoints:
    """Where a run keeps its checkpoint, how often (steps), and the plan it belongs to (options, data, split)."""

    folder: Path
    every: int
    plan: Mapping[str, Any]
    resume: bool = False

    def save(self, step: int, state: TrainingState) -> None:
        """Replace the checkpoint by this one. Raises WriteError (disk full and the like); the old one is then kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{step:08d}.safetensors"
        written = write_bytes_atomically(self.folder / name, save(state.tensors()))
        notes = {
            "step": step,
            "tensors": name,
            "sha256": written.sha256,
            "scaler": state.scaler.state_dict(),
            "threads": torch.get_num_threads(),
            "plan": self.plan,
        }
        write_bytes_atomically(self.folder / NOTES, (json.dumps(notes, indent=1) + "\n").encode())
        for old in self.folder.glob("step-*.safetensors"):
            if old.name != name:
                old.unlink()

    def load(self, state: TrainingState) -> int:
        """Restore the state and return its step; 0 if there is nothing to resume from.

        Raises UsageError if the checkpoint is damaged or was made with another plan, naming the first difference.
        """
        if not self.resume or not (self.folder / NOTES).is_file():
            return 0
        notes = self._notes()
        different = first_difference(notes["plan"], json.loads(json.dumps(self.plan)))
        if different is not None:
            raise UsageError(f"--resume: the run was begun with another {different}; the same command line is needed")
        try:
            data = read_regular(self.folder / notes["tensors"])
        except OSError as error:
            raise UsageError(f"{self.folder}: the checkpoint is damaged: start again without --resume") from error
        if hashlib.sha256(data).hexdigest() != notes["sha256"]:
            raise UsageError(f"{self.folder}: the checkpoint is damaged: start again without --resume")
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise UsageError(f"{self.folder}: the checkpoint is damaged: start again without --resume") from error
        state.restore(tensors, notes["scaler"])
        torch.set_num_threads(int(notes["threads"]))  # sums are split among threads, so their number shows
        return int(notes["step"])

    def remove(self) -> None:
        """The run is finished: nothing is left to resume."""
        if self.folder.is_dir():
            for path in [self.folder / NOTES, *self.folder.glob("step-*.safetensors")]:
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _notes(self) -> dict[str, Any]:
        try:
            notes: dict[str, Any] = json.loads(read_regular(self.folder / NOTES))
            if not _TENSORS.fullmatch(notes["tensors"]):
                raise ValueError("no name of a checkpoint's tensors")
            for name in ("step", "sha256", "scaler", "threads", "plan"):
                notes[name]
            if not 1 <= int(notes["threads"]) <= 4096 or int(notes["step"]) < 1:
                raise ValueError("no number of threads or steps")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"{self.folder}: the checkpoint is damaged: start again without --resume") from error
        return notes


def first_difference(before: Any, now: Any, where: str = "") -> str | None:
    """The name of the first entry in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            name = f"{where}.{key}" if where else key
            found = name if (key in before) != (key in now) else first_difference(before[key], now[key], name)
            if found is not None:
                return found
        return None
    return None if before == now else where


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
