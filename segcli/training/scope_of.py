"""What the images were like that a model is trained on: the scope on its card, which predict compares images with."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.contract import ModelCard, Plane, Scope
from segcli.engine.scope import BODY_PARTS, PLANES, measures, view_of, words_of
from segcli.image import Image
from segcli.training.examples import Example

KNOWN_PARTS = {
    "ABDOMEN", "AORTA", "ARM", "BLADDER", "BRAIN", "BREAST", "CHEST", "COLON", "CSPINE", "EYE", "FOOT", "HAND", "HEAD",
    "HEART", "HIP", "JAW", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LUNG", "NECK", "ORBIT", "PANCREAS", "PELVIS",
    "PROSTATE", "SHOULDER", "SKULL", "SPINE", "SPLEEN", "THYROID", "TSPINE", "UTERUS", "WHOLEBODY",
}  # fmt: skip
"""Words of DICOM's BodyPartExamined that may stand on a card: a header may hold anything in their place."""

Range = tuple[float, float]


def scope_of(examples: Sequence[Example], card: ModelCard) -> Scope:
    """The smallest and the largest of these images, those to train on. What they do not state is left out."""
    parts = [part for example in examples for part in example.parts]
    found = [measures(view_of(part, None), card) for part in parts]
    pixels = _ranges([each.pixels for each in found], card)
    return Scope(
        field_of_view_mm=_ranges([each.lengths for each in found], card),
        field_of_view_px=None
        if pixels is None
        else tuple((round(a), round(b)) for a, b in pixels[-card.spatial_dims :]),
        spacing=_ranges([each.steps for each in found], card),
        body_part=_body_part(examples),
        planes=_planes(parts, card),
    )


def _ranges(measured: Sequence[tuple[float | None, ...]], card: ModelCard) -> tuple[Range, ...] | None:
    """Along the axes of the tile, of a 2-D card along its slices too where all images tell."""
    known = [sides for sides in measured if None not in sides[3 - card.spatial_dims :]]
    if not known:
        return None
    axes = zip(*known, strict=True)
    return tuple(
        (round(min(sides), 4), round(max(sides), 4)) for sides in axes if all(side is not None for side in sides)
    )


def _body_part(examples: Sequence[Example]) -> tuple[str, ...] | None:
    found: set[str] = set()
    for example in examples:
        words = {word for stated in example.body_parts for word in words_of(stated)} - set(BODY_PARTS)
        if not words or not words <= KNOWN_PARTS:
            return None
        found |= words
    return tuple(sorted(found)) or None


def _planes(parts: Sequence[Image], card: ModelCard) -> tuple[Plane, ...] | None:
    stated = [card.orientation or part.geometry.orientation for part in parts]
    known = {PLANES[letters[2]] for letters in stated if letters is not None}
    return tuple(sorted(known)) if known and None not in stated else None
