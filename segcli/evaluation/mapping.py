"""Labels that have one number in predictions and another in references: ``--map``, and the hint that it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.image import LabelMap

SHOWN = 8


@dataclass(frozen=True)
class Renumbering:
    """``table``: number in a mask → the number it counts as, on both sides. ``seen``: what was found in any mask."""

    table: Mapping[int, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def applied(self, masks: Sequence[LabelMap]) -> list[LabelMap]:
        """Masks under their new numbers."""
        return [replace(mask, pixels=self._renumbered(mask.pixels)) for mask in masks] if self.table else list(masks)

    def refuse_unseen(self) -> None:
        """Raise UsageError for a number that no mask holds: most likely a slip."""
        for number in self.table:
            if number not in self.seen:
                raise UsageError(f"--map {number}={self.table[number]}: no mask holds {number}")

    def _renumbered(self, pixels: NDArray[Any]) -> NDArray[Any]:
        self.seen.update(number for number in self.table if number in pixels)
        wide = np.uint8 if max(*self.table.values(), int(pixels.max(initial=0))) <= 255 else np.uint16
        found = pixels.astype(wide)
        for number, other in self.table.items():
            found[pixels == number] = other
        return found


def renumbering(pairs: Iterable[tuple[int, int]], names: Mapping[int, str]) -> Renumbering:
    """From ``(number, other)`` pairs. ``names``: label names given by number. Raises UsageError for nonsense."""
    table: dict[int, int] = {}
    for number, other in pairs:
        given = f"--map {number}={other}"
        if number == other:
            raise UsageError(f"{given} changes nothing")
        if table.get(number, other) != other:
            raise UsageError(f"{given}: {number} is mapped to {table[number]} already")
        if number in names:
            raise UsageError(f"{given}: --label names {number}, which does not occur any more: name {other}")
        table[number] = other
    for number, other in table.items():
        if other in table:
            raise UsageError(f"--map {number}={other} and --map {other}={table[other]}: give each its final number")
    return Renumbering(table)


def hint(predicted: set[int], reference: set[int], names: Mapping[int, str]) -> str | None:
    """What to say where both sides hold numbers that the other never does; None where they meet."""
    one, other = sorted(predicted - reference - {0}), sorted(reference - predicted - {0})
    if not one or not other or (predicted & reference - {0} and set(one + other) <= set(names)):
        return None
    example = f"--map {other[0]}={one[0]}" if len(one) == len(other) == 1 else "--map NUMBER=OTHER for each"
    alone = "only " if predicted & reference - {0} else ""
    return (
        f"{alone}predictions hold the label {_some(one)}, {alone}references hold {_some(other)}: "
        f"if they mean the same, give {example}"
    )


def _some(values: Sequence[int]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(str, values[:SHOWN])) + more
