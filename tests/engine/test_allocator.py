from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from segcli.engine.allocator import keep_freed_memory
if {keep}: assert keep_freed_memory()
for _ in range(20):
    torch.zeros(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_the_next_tensor_of_40_mb_takes_the_pages_of_the_one_before() -> None:
    pages = 10_000_000 * 4 // resource.getpagesize()
    assert faults(keep=True) < pages < 9 * pages < faults(keep=False)
