"""The colours of the labels as a table that PNG and TIFF viewers understand: entry ``v`` is label ``v``'s colour."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.contract import Label

MAX_INDEX = 255


def fits_palette(labels: Sequence[Label]) -> bool:
    """Whether every label's value can be an index of a 256-colour palette."""
    return all(label.value <= MAX_INDEX for label in labels)


def color_table(labels: Sequence[Label]) -> bytes:
    """256 x (red, green, blue), uint8: background black, labels in the card's colours, everything else grey."""
    table = bytearray([0, 0, 0] + [128, 128, 128] * MAX_INDEX)
    for label in labels:
        if label.value <= MAX_INDEX:
            table[3 * label.value : 3 * label.value + 3] = bytes(label.color)
    return bytes(table)
