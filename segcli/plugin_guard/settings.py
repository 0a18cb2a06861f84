"""What code can change for the whole process, and how each is read and put back."""

from __future__ import annotations

import locale
import os
import random
import signal
import sys
import warnings
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
    settings += _interpreter_settings()
    if seeds:
        settings.append(Setting("Python's random seed", random.getstate, random.setstate))
        if "numpy" in sys.modules:  # who imports it later finds a fresh seed
            settings.append(Setting("numpy's random seed", _numpy_seed, _write_numpy_seed))
    return settings


def _interpreter_settings() -> list[Setting]:
    return [
        Setting("sys.path", lambda: list(sys.path), _write_path),
        Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        Setting("the umask", _umask, os.umask),
        Setting("the warnings filters", lambda: list(warnings.filters), _write_warnings_filters),
        Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
        Setting("multiprocessing's start method", _start_method, _write_start_method),
        Setting("numpy's handling of errors", _numpy_errors, _write_numpy_errors),
    ]


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


def _write_path(value: list[str]) -> None:
    sys.path[:] = value


def _umask() -> int:
    """It can only be read by setting it; to the strictest, for a file another thread makes in between."""
    value = os.umask(0o077)
    os.umask(value)
    return value


def _write_warnings_filters(value: list[Any]) -> None:
    warnings.resetwarnings()  # drops what Python remembers of the filters, too
    warnings.filters[:] = value  # type: ignore[index]


def _start_method() -> str | None:
    """None where it is not chosen yet, or where nobody uses the module."""
    module = sys.modules.get("multiprocessing")
    return None if module is None else module.get_start_method(allow_none=True)


def _write_start_method(value: str | None) -> None:
    sys.modules["multiprocessing"].set_start_method(value, force=True)


NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""What numpy does with errors of arithmetic when it has just been imported."""


def _numpy_errors() -> Mapping[str, str]:
    return sys.modules["numpy"].geterr() if "numpy" in sys.modules else NUMPY_ERRORS


def _write_numpy_errors(value: Mapping[str, str]) -> None:
    sys.modules["numpy"].seterr(**value)


def _numpy_seed() -> tuple[Any, ...]:
    kind, numbers, *rest = sys.modules["numpy"].random.get_state()
    return (kind, tuple(numbers.tolist()), *rest)


def _write_numpy_seed(value: tuple[Any, ...]) -> None:
    sys.modules["numpy"].random.set_state(value)


def _write_environment(value: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(value):
        del os.environ[name]
    os.environ.update(value)
