"""Is an image of the kind a model was trained on? The one place for that rule; pure arithmetic, no torch.

Outside of its scope a network still draws plausible masks: a model for crops around the hippocampus finds some in the
neck of a whole head. How far beyond the training images an image may lie was measured; ``docs/predict.md`` has the
figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segcli.case import Case
from segcli.contract import ModelCard, Plane, Scope
from segcli.engine.reorientation import reorientation_between, steps_of
from segcli.image import BandSource
from segcli.outcome import OUT_OF_SCOPE
from segcli.sizes import spans, times

MAX_SIDE = 2.5
MAX_AREA = 3.0
"""How many times the largest training image a side of an image may be long, and the area of its slices large."""
MIN_SIDE = 0.6
"""How much of the smallest training image a side must have."""
MAX_COARSE = 3.0
"""How many times as far apart as the coarsest of the training images pixels may lie."""

PLANES: Mapping[str, Plane] = {
    "S": "axial", "I": "axial", "P": "coronal", "A": "coronal", "L": "sagittal", "R": "sagittal",
}  # fmt: skip
"""Towards where slices follow each other → the plane in which they lie."""
BODY_PARTS = {
    "HEADNECK": ("HEAD", "NECK"),
    "NECKCHEST": ("NECK", "CHEST"),
    "NECKCHESTABDOMEN": ("NECK", "CHEST", "ABDOMEN"),
    "NECKCHESTABDPELV": ("NECK", "CHEST", "ABDOMEN", "PELVIS"),
    "CHESTABDOMEN": ("CHEST", "ABDOMEN"),
    "CHESTABDPELVIS": ("CHEST", "ABDOMEN", "PELVIS"),
    "ABDOMENPELVIS": ("ABDOMEN", "PELVIS"),
}
"""Words of DICOM (PS3.16, annex L) that stand for several."""


@dataclass(frozen=True)
class View:
    """What is known of an image; None for what is not.

    ``size``: slices, rows, columns as stored; ``steps``: mm between them; ``orientation``: the letters of
    :class:`segcli.geometry.Geometry`; ``body_parts``: what DICOM headers state.
    """

    size: tuple[int | None, int, int]
    steps: tuple[float | None, ...] = (None, None, None)
    orientation: str | None = None
    body_parts: tuple[str, ...] = ()


def view_of(part: BandSource, stated: tuple[float, ...] | None) -> View:
    """What is known of a part that was read. ``stated``: --spacing, for images that state none."""
    slices, _, rows, columns = part.shape
    return View((slices, rows, columns), steps_of(part.geometry, stated), part.geometry.orientation)


def view_of_case(case: Case, stated: tuple[float, ...] | None) -> View | None:
    """What headers alone say; of slices they may count several time points, so these stay unknown."""
    if case.shape is None:
        return None
    steps = case.spacing or stated or (None, None)
    between = steps[2] if len(steps) == 3 else None
    return View((None, *case.shape[1:]), (between, *steps[:2]), case.orientation, case.body_parts)


def case_out_of_scope(case: Case, card: ModelCard, stated: tuple[float, ...] | None) -> str | None:
    """Why a case is out of scope, as far as headers tell: None may still change when it is read."""
    view = view_of_case(case, stated)
    return None if view is None else out_of_scope(view, card)


def parts_out_of_scope(parts: Sequence[BandSource], card: ModelCard, stated: tuple[float, ...] | None) -> str | None:
    """Why an image that was read is out of scope: one of its parts is. None if all are in it."""
    reasons = (out_of_scope(view_of(part, stated), card) for part in parts)
    return next((reason for reason in reasons if reason is not None), None)


def out_of_scope(view: View, card: ModelCard) -> str | None:
    """Why the mask of such an image would mean nothing, ready to be shown; None if it is in scope or nothing is known.

    The reason holds sizes, spacing and planes, never another header value.
    """
    scope = card.scope
    if scope is None:
        return None
    found = _body_part(view, scope) or _plane(view, card, scope) or _field_of_view(view, card, scope)
    found = found or _spacing(view, card, scope)
    return None if found is None else f"{OUT_OF_SCOPE}{found}"


def _body_part(view: View, scope: Scope) -> str | None:
    if not scope.body_part or all(_is_within(word, scope.body_part) for word in view.body_parts):
        return None
    return f"body part, the model was trained on {', '.join(scope.body_part)}"


def _is_within(stated: str, wanted: Sequence[str]) -> bool:
    """Whether a header's words name one of the wanted parts: ``HEAD^BRAIN``, ``Head``, ``HEADNECK`` name the head."""
    named = words_of(stated)
    return not named or not named.isdisjoint(wanted)


def words_of(stated: str) -> set[str]:
    """The words of a header's body part, those that stand for several taken apart, and also as they are."""
    words = "".join(letter if letter.isalnum() else " " for letter in stated.upper()).split()
    return {part for word in words for part in (word, *BODY_PARTS.get(word, ()))}


def _plane(view: View, card: ModelCard, scope: Scope) -> str | None:
    """Only where images are taken as stored: otherwise the engine turns them, or refuses to."""
    if not scope.planes or card.orientation is not None or view.orientation is None:
        return None
    plane = PLANES[view.orientation[2]]
    return None if plane in scope.planes else f"plane {plane}, the model was trained on {', '.join(scope.planes)}"


def _field_of_view(view: View, card: ModelCard, scope: Scope) -> str | None:
    """In mm where both sides know them, else in pixels of the network's grid."""
    found = measures(view, card)
    if scope.field_of_view_mm is not None and None not in found.steps[1:]:
        return _compare("field of view", found.lengths, scope.field_of_view_mm, card, "mm")
    pixels = found.pixels
    if card.spatial_dims == 2:
        pixels = (None, *pixels[1:])  # pages of a file need not be a stack
    if scope.field_of_view_px is not None:
        return _compare("field of view", pixels, scope.field_of_view_px, card, "pixels")
    if scope.field_of_view_mm is not None and None not in _grid(card)[1:]:  # prepare takes it to lie on the card's grid
        assumed = [None if n is None or g is None else n * g for n, g in zip(pixels, _grid(card), strict=True)]
        return _compare("field of view at the model's spacing", assumed, scope.field_of_view_mm, card, "mm")
    return None


def _spacing(view: View, card: ModelCard, scope: Scope) -> str | None:
    """Coarser pixels hold less than the network learnt to see; finer ones are averaged where the card states a grid."""
    if scope.spacing is None:
        return None
    ranges, steps = scope.spacing, measures(view, card).steps
    if card.spatial_dims == 2:
        ranges, steps = ranges[-2:], (None, *steps[1:])
    known = [(step, limits) for step, limits in zip(steps[-len(ranges) :], ranges, strict=True) if step is not None]
    coarse = any(step > MAX_COARSE * high for step, (_, high) in known)
    fine = card.spacing is None and any(step < low / MAX_COARSE for step, (low, _) in known)
    if not coarse and not fine:
        return None
    return _words("spacing", [step for step, _ in known], [limits for _, limits in known], "mm")


@dataclass(frozen=True)
class Measures:
    """Of an image along the network's slices, rows and columns; None for what is not known.

    ``steps``: mm between pixels as stored; ``lengths``: mm; ``pixels``: on the network's grid.
    """

    steps: tuple[float | None, ...]
    lengths: tuple[float | None, ...]
    pixels: tuple[float | None, ...]


def measures(view: View, card: ModelCard) -> Measures:
    """What predict compares with a card, and what training writes on one."""
    order = reorientation_between(view.orientation, card).order
    sizes, steps = [view.size[axis] for axis in order], tuple(view.steps[axis] for axis in order)
    lengths = tuple(None if n is None or step is None else n * step for n, step in zip(sizes, steps, strict=True))
    pixels = tuple(
        size if length is None or grid is None else length / grid
        for size, length, grid in zip(sizes, lengths, _grid(card), strict=True)
    )
    return Measures(steps, lengths, pixels)


def _grid(card: ModelCard) -> tuple[float | None, ...]:
    """mm of the card's grid along slices, rows, columns. In 2-D slices are never resampled."""
    if card.spacing is None:
        return (None, None, None)
    return card.spacing if card.spatial_dims == 3 else (None, *card.spacing[-2:])


def _compare(
    what: str, sides: Sequence[float | None], ranges: Sequence[tuple[float, float]], card: ModelCard, unit: str
) -> str | None:
    """``sides``: along slices, rows, columns; ``ranges``: for all three or the last two."""
    if sides[0] is None:
        ranges = ranges[-2:]
    sides = sides[-len(ranges) :]
    known = [(side, limits) for side, limits in zip(sides, ranges, strict=True) if side is not None]
    plane = [(side, limits) for side, limits in zip(sides[-2:], ranges[-2:], strict=True) if side is not None]
    outside = any(side > MAX_SIDE * high for side, (_, high) in known)
    if len(plane) == 2:
        (rows, (_, most_rows)), (columns, (_, most_columns)) = plane
        outside |= rows * columns > MAX_AREA * most_rows * most_columns
    # a 2-D network does not miss slices
    outside |= any(side < MIN_SIDE * low for side, (low, _) in (plane if card.spatial_dims == 2 else known))
    return _words(what, sides, ranges, unit) if outside else None


def _words(what: str, values: Sequence[float | None], ranges: Sequence[tuple[float, float]], unit: str) -> str:
    """``field of view 230 × 230 mm, the model was trained on 32-60 mm``."""
    return f"{what} {times(values)} {unit}, the model was trained on {spans(ranges)} {unit}"
