"""Reader processes that know the tests' own format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_format import FORMATS

from segcli.formats.readers import Readers


@pytest.fixture(autouse=True)
def _readers_find_the_fake_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def readers() -> Iterator[Readers]:
    with Readers(1, formats=FORMATS) as pool:
        yield pool
