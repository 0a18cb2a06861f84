"""Run by a test inside namespaces of its own (``unshare --map-root-user --mount``): disks of a few kilobytes.

Arguments: what to do, then paths. Prints one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from segcli.cli.main import run
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan


def mount(where: Path, size: str, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join((*options, f"size={size}")), "tmpfs", str(where)]
    subprocess.run(command, check=True)


def masks(output: Path) -> dict[str, str]:
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.suffix in (".png", ".mha") and not path.name.startswith(".")
    }


def full_disk(source: Path, model: Path, output: Path) -> Any:
    """A run on a disk too small for all masks, and one after the disk has grown."""
    output.mkdir()
    mount(output, "96k")
    command = ["predict", str(source), "-m", str(model), "-o", str(output), "--device", "cpu", "--batch", "1", "-q"]
    first = {"code": run(command), "masks": masks(output)}
    mount(output, "8m", "remount")
    second = {"code": run(command), "masks": masks(output)}
    left = [path.name for path in output.rglob(".segcli*") if path.name != ".segcli-key"]
    return {"first": first, "second": second, "left": left}


def small_shared_memory(source: Path) -> Any:
    """A case of 16 MB while /dev/shm holds 1 MB."""
    mount(Path("/dev/shm"), "1m")  # noqa: S108
    with Readers(1) as readers:
        (case,) = scan([source], ScanOptions(key=b"key"), readers).cases
        (part,) = readers.submit_read(case, ReadRequest(), 60).result(90).parts
        return {"bytes": part.pixels.nbytes, "sum": int(part.pixels.sum())}


if __name__ == "__main__":
    deed, *paths = sys.argv[1:]
    print(json.dumps({"full": full_disk, "shm": small_shared_memory}[deed](*map(Path, paths))))
