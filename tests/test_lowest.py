"""``.ci/lowest.txt`` pins exactly the lower bounds of ``pyproject.toml``: what is promised is what is tested."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CI = ROOT / ".ci"


def lines(path: Path) -> list[str]:
    """Without comments and empty lines."""
    stripped = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in stripped if line]


def bound(requirement: Requirement, operator: str) -> tuple[str, Version]:
    """The project and the one version that stands after ``operator``."""
    (version,) = (item.version for item in requirement.specifier if item.operator == operator)
    return requirement.name, Version(version)


def test_the_constraints_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    # benchmarks are no part of what is promised
    asked = [*project["dependencies"], *(item for name in extras if name != "bench" for item in extras[name])]
    promised = {bound(Requirement(item), ">=") for item in asked}
    assert {bound(Requirement(item), "==") for item in lines(CI / "lowest.txt")} == promised


def test_the_short_run_enters_every_room() -> None:
    chosen = lines(CI / "lowest-tests.txt")
    assert [path for path in chosen if not (ROOT / path).is_file()] == []
    rooms = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert rooms <= {Path(path).parts[1] for path in chosen}


def test_a_warning_is_an_error_only_if_it_is_of_our_own_code() -> None:
    with pytest.warns(FutureWarning):  # no error
        warnings.warn_explicit("advice", FutureWarning, "script.py", 1, module="torch.jit._script")
    for module in ("segcli.wrap", "segcli_exported.exported", __name__):
        with pytest.raises(FutureWarning):
            warnings.warn_explicit("advice", FutureWarning, "own.py", 1, module=module)
