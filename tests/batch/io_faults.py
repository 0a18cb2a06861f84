"""Makes the n-th call that touches the disk below one folder fail, as a dying or full disk would."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATHS = ("open", "mkdir", "replace", "link", "unlink")
DESCRIPTORS = ("fsync", "ftruncate")


class Faults:
    """``calls``: names of the calls so far. ``at``: number of the call that fails, with ``error`` (an errno)."""

    def __init__(self, folder: Path, at: int | None = None, error: int = 0) -> None:
        self.calls: list[str] = []
        self.failed: str | None = None
        self._folder, self._at, self._error = str(folder), at, error

    def is_ours(self, file: Any) -> bool:
        if isinstance(file, int):
            file = Path(f"/proc/self/fd/{file}").readlink()
        return os.fspath(file).startswith(self._folder)

    def pass_by(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) - 1 == self._at:
            self.failed = name
            raise OSError(self._error, os.strerror(self._error))

    @contextmanager
    def active(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in (*PATHS, *DESCRIPTORS):
                patch.setattr(os, name, self._watched(name, getattr(os, name)))
            patch.setattr(io, "open", self._opened(io.open))
            patch.setattr(builtins, "open", self._opened(builtins.open))
            yield

    def _watched(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, *rest: Any, **more: Any) -> Any:
            if self.is_ours(file):
                self.pass_by(name)
            return original(file, *rest, **more)

        return call

    def _opened(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
            if set(mode) <= set("rbt") or not self.is_ours(file):
                return original(file, mode, buffering, *rest, **more)
            self.pass_by("open")
            raw = _Watched(file, mode.replace("b", "").replace("t", ""))
            raw.faults = self
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8")

        return call


class _Watched(io.FileIO):
    faults: Faults

    def write(self, data: Any) -> int:
        self.faults.pass_by("write")
        return super().write(data)
