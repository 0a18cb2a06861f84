"""``segcli models new``: a small installable distribution that holds a model of your own."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from segcli.errors import UsageError

TEMPLATES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "plugin.py.txt": "src/@module@/__init__.py",
    "network.py.txt": "src/@module@/network.py",
    "untrained.py.txt": "src/@module@/untrained.py",
    "test.py.txt": "tests/test_@module@.py",
}
"""Template → path in the new folder."""

_SECTION = re.compile(r"^@(gated|plain)\{@\n(.*?)^@\}@\n", re.MULTILINE | re.DOTALL)


def write_scaffold(name: str, folder: Path, *, gated: bool) -> list[Path]:
    """Write the distribution of a model called ``name`` into the new or empty ``folder``; ``gated``: a presence head.

    Returns the files. Raises UsageError for a name that Python or another package has, or a folder that is not empty.
    """
    module = _module(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not empty: choose another -o")
    words = {"name": name, "module": module, "segcli": version("segcli")}
    written = []
    for template, where in TEMPLATES.items():
        text = (files("segcli.scaffold") / "templates" / template).read_text(encoding="utf-8")
        target = folder / _fill(where, words)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_fill(_choose(text, gated=gated), words), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{target} cannot be written ({type(error).__name__}): choose another -o") from error
        written.append(target)
    return written


def _module(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} cannot be a model's name: use small letters, digits and - between them, e.g. liver-ct"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or find_spec(module) is not None:
        raise UsageError(f"{name!r} is the name of a module that Python already has: choose another, e.g. {name}-seg")
    return module


def _choose(text: str, *, gated: bool) -> str:
    return _SECTION.sub(lambda found: found[2] if (found[1] == "gated") == gated else "", text)


def _fill(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
