"""Torch's settings as they are before a plugin can change them, even if it is the plugin that imports torch."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from segcli.plugin_guard.settings import Setting, copy_of, torch_settings


@contextmanager
def torch_watched(before: dict[str, tuple[Setting, Any]], *, seeds: bool) -> Iterator[None]:
    """Fill ``before`` now if torch is there, else at the moment the plugin has imported it."""

    def remember(torch: Any) -> None:
        for item in torch_settings(torch, seeds=seeds):
            with suppress(Exception):
                before[item.name] = (item, copy_of(item.read()))

    if "torch" in sys.modules:
        remember(sys.modules["torch"])
        yield
        return
    finder = _TorchFinder(remember)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


class _TorchFinder(importlib.abc.MetaPathFinder):
    """Finds torch as Python would, and calls back once its module has run."""

    def __init__(self, imported: Callable[[Any], None]) -> None:
        self._imported = imported

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != "torch" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _CallsBack(spec.loader, self._imported)
        return spec


class _CallsBack(importlib.abc.Loader):
    def __init__(self, loader: Any, done: Callable[[Any], None]) -> None:
        self._loader, self._done = loader, done

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._done(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
