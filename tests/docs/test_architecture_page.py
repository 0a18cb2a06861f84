"""docs/architecture.md leads to places that exist, and names every room."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_places_it_leads_to_exist() -> None:
    places = re.findall(r"`((?:segcli|plugins|tests|benchmarks)/[\w/.-]+)`", PAGE)
    assert len(places) > 15
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_every_room_has_its_row() -> None:
    rooms = {path.stem for path in (ROOT / "segcli").iterdir() if path.suffix == ".py" or path.is_dir()}
    named = set(re.findall(r"`segcli\.(\w+)`", PAGE))
    assert sorted(rooms - named - {"__init__", "__main__", "__pycache__", "py"}) == []
    assert sorted(named - rooms - {"segment", "predict"}) == []
