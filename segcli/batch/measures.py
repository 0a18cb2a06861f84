"""What the report says of a segmented case beside its mask: where it lies, how much it holds and in which slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segcli.case import Case
from segcli.contract import ModelCard
from segcli.engine.events import Segmented
from segcli.formats.readers import ReadCase
from segcli.image import BandSource, Geometry, Json
from segcli.outcome import Outcome

DECIMALS = 4
"""Of a score and of seconds in the report."""


def outcome_of(case: Case, delivery: ReadCase, result: Segmented, card: ModelCard) -> Outcome:
    """All that is known of a case before its mask is written."""
    first = delivery.parts[0]
    notes = []
    if card.modality is not None and case.modality is None:  # no warning: --strict need not fail it
        notes.append(f"the image states no modality, the model is for {card.modality}")
    return Outcome(
        id=case.id,
        name=case.name,
        status="empty" if result.empty_reason else "done",
        format=case.format,
        reason=result.empty_reason,
        output=str(case.output),
        shape=case.shape or tuple(first.shape[axis] for axis in (0, 2, 3)),
        spacing=first.geometry.spacing or case.spacing,
        orientation=first.geometry.orientation,
        volumes=volumes(result, [part.geometry for part in delivery.parts], card),
        presence=result.presence,
        slice_presence=slice_presence_of(result),
        geometry=geometry_of(delivery.parts),
        tiles=result.tiles,
        tiles_gated=result.tiles_gated,
        slices_emptied=result.slices_emptied,
        seconds={"read": round(delivery.seconds, DECIMALS), "network": round(result.seconds, DECIMALS)},
        warnings=tuple(dict.fromkeys((*case.warnings, *delivery.warnings, *result.warnings, *notes))),
    )


def volumes(result: Segmented, geometries: Sequence[Geometry], card: ModelCard) -> dict[str, dict[str, float | None]]:
    """Label name → pixels, and mm³ where the source states its spacing in all three directions.

    ``geometries``: of the parts.
    """
    found: dict[str, dict[str, float | None]] = {}
    for label in card.labels:
        pixels = 0
        volume: float | None = 0.0
        for counts, geometry in zip(result.counts, geometries, strict=True):
            count = counts[label.value]
            voxel = geometry.voxel_volume
            pixels += count
            volume = None if voxel is None or volume is None else volume + count * voxel
        found[label.name] = {"pixels": pixels, "mm3": volume}
    return found


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
