"""What code can change for the whole process, and how each is read and put back."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One thing of the process that code can change: how to read it and how to put it back."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def process_settings(*, seeds: bool) -> list[Setting]:
    """Of Python and the operating system."""
    settings = [
        Setting("the environment", lambda: dict(os.environ), _write_environment),
        Setting("the working directory", os.getcwd, os.chdir),
        Setting("sys.excepthook", lambda: sys.excepthook, lambda value: setattr(sys, "excepthook", value)),
    ]
    if hasattr(signal, "setitimer"):
        settings.append(
            Setting("alarm clocks", lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda _: signal.alarm(0))
        )
    if seeds:
        settings.append(Setting("Python's random seed", random.getstate, random.setstate))
    return settings


def torch_settings(torch: Any, *, seeds: bool) -> list[Setting]:
    """What ``import torch`` gives the whole process; each can be read and put back."""
    backends = torch.backends
    settings = [
        Setting("torch's threads", torch.get_num_threads, torch.set_num_threads),
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Setting(
            "torch's default device",
            torch.get_default_device,
            # None, not "cpu": a default that is set slows every call down
            lambda value: torch.set_default_device(None if value.type == "cpu" else value),
        ),
        Setting("torch's grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
        Setting("torch's anomaly mode", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        Setting(
            "torch's deterministic algorithms",
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
        ),
        Setting("torch's matmul precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        Setting(
            "torch's autocast",
            lambda: (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
            lambda value: (torch.set_autocast_enabled("cpu", value[0]), torch.set_autocast_enabled("cuda", value[1])),
        ),
        Setting(
            "torch's flushing of denormals",
            lambda: bool((torch.tensor([1e-39], dtype=torch.float32) * 0.5).item() == 0),
            torch.set_flush_denormal,
        ),
        *(
            _flag(backends.cudnn, flag, f"cudnn.{flag}")
            for flag in ("enabled", "benchmark", "deterministic", "allow_tf32")
        ),
        _flag(backends.cuda.matmul, "allow_tf32", "cuda.matmul.allow_tf32"),
        _flag(backends.mkldnn, "enabled", "mkldnn.enabled"),
    ]
    if seeds:
        settings.append(Setting("torch's random seed", torch.get_rng_state, torch.set_rng_state))
    return settings


def _flag(owner: Any, name: str, shown: str) -> Setting:
    return Setting(shown, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def copy_of(value: Any) -> Any:
    """A value that later changes do not reach."""
    return value.clone() if hasattr(value, "clone") else value


def same(one: Any, other: Any) -> bool:
    """Also for tensors."""
    return bool((one == other).all()) if hasattr(one, "all") else bool(one == other)


def _write_environment(value: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(value):
        del os.environ[name]
    os.environ.update(value)
