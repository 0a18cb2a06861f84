"""Orientation in letters: towards what the column, row and slice index increase. An axial DICOM series is ``LPS``.

nibabel.orientations could do this too, but neither reading a card nor a run over PNG files should import nibabel.
"""

from __future__ import annotations

PAIRS = (("L", "R"), ("P", "A"), ("S", "I"))
"""Of each axis of space (x, y, z of DICOM's patient coordinates): the letter of its direction, and of the opposite."""


def is_orientation(letters: str) -> bool:
    """Whether these are three letters, one of each pair."""
    return len(letters) == 3 and all(sum(letter in pair for letter in letters) == 1 for pair in PAIRS)


def axis_order(have: str, want: str) -> tuple[int, int, int]:
    """For each axis (slice, row, column) of an image in orientation ``want``: which axis it is of one in ``have``."""
    stored = have[::-1]  # letters are column, row, slice
    slices, rows, columns = (_axis_along(letter, stored) for letter in want[::-1])
    return slices, rows, columns


def _axis_along(letter: str, stored: str) -> int:
    pair = next(pair for pair in PAIRS if letter in pair)
    return next(axis for axis, other in enumerate(stored) if other in pair)
