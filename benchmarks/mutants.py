"""Dangerous one-line changes to the code: each must turn a test red.

``python benchmarks/mutants.py`` makes the changes of ``mutants.toml`` one by one, each in a copy of its own, and runs
the tests that are meant to notice. The working tree is never touched. First the same tests run on an unchanged copy,
where they must pass. Exit code 0 only if every change is killed.

killed: a test failed. survived: none did. stale: the text to change is not there exactly once. broken: pytest could not
run the tests. A change that only hangs counts as killed, and is marked.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_suffix(".toml")
TESTS_FAILED = 1
"""Exit code of pytest. Others than this and 0 say that it could not do its work."""


@dataclass(frozen=True)
class Mutant:
    """``old`` stands once in ``file``; ``harm``: what ``new`` in its place would do to a patient."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    harm: str

    @property
    def stale(self) -> bool:
        path = ROOT / self.file
        return not path.is_file() or path.read_text(encoding="utf-8").count(self.old) != 1


@dataclass(frozen=True)
class Ran:
    """``code``: pytest's exit code, None if it was stopped. ``output``: the end of what it said."""

    code: int | None
    seconds: float
    output: str

    @property
    def noticed(self) -> str:
        """The test that failed."""
        found = re.search(r"^FAILED (\S+)", self.output, re.MULTILINE)
        return f"  by {found[1].rpartition('/')[2]}" if found else ""


def mutants(path: Path) -> list[Mutant]:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    found = [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    if len({each.name for each in found}) < len(found):
        raise SystemExit(f"{path}: two mutants have the same name")
    return found


@contextmanager
def copied_tree() -> Iterator[tuple[Path, Path]]:
    """A copy of the working tree, and a Python that imports it, in tests and in all programs that they start."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder) / "tree"
        for name in listed.stdout.decode().split("\0")[:-1]:
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        yield tree, _python(Path(folder) / "venv", tree)


def _python(folder: Path, tree: Path) -> Path:
    """A virtual environment with the packages of ours, before which it finds ``tree``, whatever options it gets."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = [
        str(tree),
        str(tree / "plugins"),
        *(f"import site; site.addsitedir({p!r})" for p in site.getsitepackages()),
    ]
    (packages / "tree.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    python = folder / "bin" / "python"
    imported = subprocess.run(
        [python, "-P", "-c", "import segcli, segcli_models; print(segcli.__file__, segcli_models.__file__)"],
        cwd=tree.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if not all(Path(name).is_relative_to(tree) for name in imported.stdout.split()):
        raise SystemExit(f"the copy is not what is imported: {imported.stdout}")
    return python


def run(tree: Path, python: Path, tests: Sequence[str], limit: float) -> Ran:
    """Room by room, up to the first test that fails: two rooms may have helpers of the same name."""
    rooms: dict[str, list[str]] = {}
    for test in tests:
        rooms.setdefault(test.partition("::")[0].rpartition("/")[0], []).append(test)
    seconds = 0.0
    for room in rooms.values():
        ran = _run(tree, python, room, limit - seconds)
        seconds += ran.seconds
        if ran.code != 0:
            break
    return replace(ran, seconds=seconds)


def _run(tree: Path, python: Path, tests: Sequence[str], limit: float) -> Ran:
    command = [python, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout=0", *tests]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command, "--hypothesis-seed=0"], cwd=tree, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        output.seek(0)
        said = output.read().decode(errors="replace")
    return Ran(code, time.monotonic() - begun, said[-4000:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """And whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def verdict(mutant: Mutant, limit: float) -> tuple[str, Ran]:
    if mutant.stale:
        return "stale", Ran(None, 0.0, "")
    with copied_tree() as (tree, python):
        path = tree / mutant.file
        path.write_text(path.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
        ran = run(tree, python, mutant.tests, limit)
    if ran.code is None:
        return "killed (time limit)", ran
    return {0: "survived", TESTS_FAILED: "killed"}.get(ran.code, "broken"), ran


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="only this change; may be given again")
    parser.add_argument("--list", action="store_true", help="print the changes and what they would do; run nothing")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="how many at once (default 1)")
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS", help="for one change (default 300)")
    parser.add_argument("--from", dest="source", type=Path, default=LIST, metavar="FILE", help="another list")
    asked = parser.parse_args()
    chosen = mutants(asked.source)
    if asked.only:
        unknown = set(asked.only) - {each.name for each in chosen}
        if unknown:
            parser.error(f"not in {asked.source}: {', '.join(sorted(unknown))}")
        chosen = [each for each in chosen if each.name in asked.only]
    if asked.list:
        for each in chosen:
            print(f"{each.name}{' (stale)' if each.stale else ''}\n  {each.file}: {each.harm}")
        return 0

    tests = sorted({test for each in chosen if not each.stale for test in each.tests})
    with copied_tree() as (tree, python):
        before = run(tree, python, tests, asked.limit * max(1, len(tests)))
    if before.code != 0:
        print(f"{before.output}\nThe tests do not pass on the unchanged tree: nothing was tried.")
        return 1
    print(f"{len(tests)} tests and files of tests pass on the unchanged tree ({before.seconds:.0f} s).\n")

    bad = 0
    with ThreadPoolExecutor(asked.j) as pool:
        for each, (found, ran) in zip(chosen, pool.map(lambda m: verdict(m, asked.limit), chosen), strict=True):
            print(f"{found:20} {ran.seconds:4.0f} s  {each.name}{ran.noticed}", flush=True)
            if not found.startswith("killed"):
                bad += 1
                print(f"    {each.file}: {each.harm}")
            if found == "broken":
                print(ran.output)
    print(f"\n{len(chosen) - bad} of {len(chosen)} killed.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
