"""What the report says of a segmented case beside its mask: where it lies, and which slices hold what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segcli.engine.segmenter import Segmented
from segcli.image import BandSource, Json

DECIMALS = 4
"""Of a score in the report."""


def geometry_of(parts: Sequence[BandSource]) -> tuple[Json, ...]:
    """An object a part: sizes, spacing in mm, axes, centre of the first pixel of the first and of the last slice."""
    return tuple(_part(part) for part in parts)


def _part(part: BandSource) -> Json:
    slices, _, rows, columns = part.shape
    found = part.geometry.to_json()
    positions = found.pop("positions")
    return {
        "slices": slices,
        "rows": rows,
        "columns": columns,
        **found,
        "first": positions[0] if positions else None,
        "last": positions[-1] if positions else None,
    }


def slice_presence_of(result: Segmented) -> Mapping[str, Json] | None:
    """Label name → part → slice → score, rounded; None without a presence head."""
    if result.slice_presence is None:
        return None
    names = list(result.presence or {})
    return {
        name: [[round(scores[name], DECIMALS) for scores in units] for units in result.slice_presence] for name in names
    }
