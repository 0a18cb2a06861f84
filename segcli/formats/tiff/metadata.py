"""Sizes and resolutions a TIFF states: OME-XML, ImageJ's description, the resolution tags.

Only OME and ImageJ lengths become a spacing. Resolution tags (dpi) describe print and are copied to the mask, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from segcli.errors import UnreadableError
from segcli.formats.units import is_length, to_mm
from segcli.image import Json


@dataclass(frozen=True)
class Sizes:
    """Spacing in mm of rows, columns, slices (None: not stated), and what the mask repeats of it in the file's words.

    ``stated``: keys and values for the metadata of :class:`tifffile.TiffWriter`, numbers and units of length only.
    """

    rows: float | None = None
    columns: float | None = None
    slices: float | None = None
    stated: Mapping[str, Json] | None = None
    channel_names: tuple[str, ...] = ()


def ome_sizes(xml: str, images: int, turned: bool) -> list[Sizes]:
    """One entry per image of the OME-XML; ``turned``: rows and columns change places to be viewed.

    Raises UnreadableError if the XML does not list ``images`` images.
    """
    root = ElementTree.fromstring(xml)  # noqa: S314 - expat refuses entity bombs; nothing external is loaded
    pixels = [element for element in root.iter() if _local(element.tag) == "Pixels"]
    if len(pixels) != images:
        raise UnreadableError("the OME-XML lists other images than the TIFF holds: export it again")
    return [_ome_image(element, turned) for element in pixels]


def imagej_sizes(description: Mapping[str, Any], resolution: Json) -> Sizes:
    """``description``: as tifffile reads it. ``resolution``: as :func:`resolution_tags` gives it, already turned."""
    unit = description.get("unit")
    if not isinstance(unit, str) or not is_length(unit) or unit == "\u00c5":
        return Sizes()
    stated: dict[str, Json] = {"unit": unit if unit.isascii() else "um"}  # its description is ASCII
    spacing = description.get("spacing")
    slices = None
    if isinstance(spacing, int | float):
        slices = to_mm(abs(float(spacing)), unit)  # ImageJ writes a negative sign for stacks it has reversed
        stated["spacing"] = float(spacing)
    columns, rows = (_per_pixel(resolution, axis, unit) for axis in (0, 1))
    return Sizes(rows=rows, columns=columns, slices=slices, stated=stated)


def is_calibrated(description: Mapping[str, Any]) -> bool:
    """Whether stored numbers stand for others: ImageJ holds signed images, CT among them, with 32768 added.

    ``cf`` is the kind of function (0: a straight line), ``c0`` and ``c1`` are its coefficients.
    """
    stated = [description.get(key, plain) for key, plain in (("c0", 0), ("c1", 1), ("cf", 0))]
    return any(key in description for key in ("c0", "c1")) and stated != [0, 1, 0]


def resolution_tags(page: Any, turned: bool) -> Json:
    """``[[x numerator, denominator], [y numerator, denominator], unit]`` of a page, or None.

    ``unit``: 1 none, 2 inch, 3 centimetre. The rationals come back to the mask as they are, not as fractions.
    """
    found = []
    for name in ("XResolution", "YResolution"):
        value = _tag(page, name)
        if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(n, int) for n in value):
            return None
        if not value[0] or not value[1]:
            return None
        found.append([int(value[0]), int(value[1])])
    unit = _tag(page, "ResolutionUnit")
    if turned:
        found.reverse()
    return [*found, int(unit) if isinstance(unit, int) and unit in (1, 2, 3) else 2]


def orientation(page: Any) -> int:
    """The Orientation tag, 1-8; 1 where it is missing or none of these."""
    value = _tag(page, "Orientation")
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1


def _tag(page: Any, name: str) -> Any:
    tag = page.tags.get(name)
    return None if tag is None else tag.value


def _per_pixel(resolution: Json, axis: int, unit: str) -> float | None:
    """mm per pixel from pixels per unit."""
    if resolution is None:
        return None
    numerator, denominator = resolution[axis]
    return to_mm(denominator / numerator, unit)


def _ome_image(element: ElementTree.Element, turned: bool) -> Sizes:
    lengths: dict[str, float | None] = {}
    stated: dict[str, Json] = {}
    names = {"X": "Y", "Y": "X", "Z": "Z"} if turned else {"X": "X", "Y": "Y", "Z": "Z"}
    for axis, viewed in names.items():
        text, unit = element.get(f"PhysicalSize{axis}"), element.get(f"PhysicalSize{axis}Unit", "\u00b5m")
        lengths[viewed] = None
        if text is None or not is_length(unit):
            continue
        value = float(text)
        lengths[viewed] = to_mm(value, unit)
        if lengths[viewed] is not None:
            stated[f"PhysicalSize{viewed}"] = value
            stated[f"PhysicalSize{viewed}Unit"] = unit
    channels = [child for child in element if _local(child.tag) == "Channel"]
    return Sizes(
        rows=lengths["Y"],
        columns=lengths["X"],
        slices=lengths["Z"],
        stated=stated,
        channel_names=tuple(child.get("Name", "") for child in channels),
    )


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]
