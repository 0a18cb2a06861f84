"""A short turn of benchmarks/torture.py: runs that are killed at random moments lose nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import torture


@pytest.mark.slow
def test_runs_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    tally = torture.run(tmp_path, kills=2, pictures=8, seed=4)
    assert tally.clean, (str(tally), tally.remarks)
    assert sum(tally.kills.values()) == 2
