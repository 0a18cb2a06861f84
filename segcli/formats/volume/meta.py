"""The header of a MetaImage, read once and strictly, and the header of a MetaImage mask.

Every line is ``Key = value``; a key that means something here may stand only once. The line of ElementDataFile is the
last.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.volume.header import (
    LONGEST,
    Packing,
    Place,
    VolumeHeader,
    beside,
    check_axes,
    numbers,
    sides,
    text_of,
    whole,
)
from segcli.geometry import vector

WHAT = "MetaImage"
_TYPES = {
    "CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4",
    "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS = ("Offset", "Origin", "Position")
_GEOMETRY = (*_DIRECTIONS, *_ORIGINS, "CenterOfRotation", "ElementSpacing", "ElementSize")
_ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_SCALE = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}
_FIELDS = frozenset(
    {
        *_GEOMETRY, *_ORDERS, *_SCALE,
        *("ObjectType", "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "ElementDataFile"),
        *("BinaryData", "CompressedData", "CompressedDataSize", "HeaderSize", "AnatomicalOrientation"),
        "DistanceUnits",
    }
)  # fmt: skip
_WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def meta_header(data: bytes) -> VolumeHeader:
    """``data``: the file, or its first :data:`LONGEST` bytes.

    Raises UnreadableError, or UnsupportedError for what segcli does not read and for data outside the header's folder.
    """
    fields, end = _fields(data)
    file = fields["ElementDataFile"]
    companion = None if file.upper() == "LOCAL" else beside(file, WHAT)
    sizes = sides(fields.get("DimSize", ""), WHAT, "DimSize")
    if whole(fields.get("NDims", str(len(sizes))), WHAT) != len(sizes):
        raise UnreadableError("the MetaImage header contradicts itself about its axes: export the volume again")
    check_axes(len(sizes))
    components = whole(fields.get("ElementNumberOfChannels", "1"), WHAT)
    kind = _TYPES.get(fields.get("ElementType", "").removesuffix("_ARRAY").removeprefix("MET_"))
    if kind is None or not 1 <= components < 2**32:
        raise UnreadableError("the MetaImage header states no known type of voxels: export the volume again")
    if fields.get("DistanceUnits", "mm").lower() not in ("mm", "?"):
        raise UnsupportedError("the MetaImage states lengths in another unit than mm: save it in mm")
    place = _place(fields, len(sizes))
    if any(numbers(fields.get(key, str(plain)), 1, WHAT) != (plain,) for key, plain in _SCALE.items()):
        raise UnsupportedError("the MetaImage states a scale of its intensities: save it with the scale applied")
    return VolumeHeader(
        sizes=sizes,
        components=components,
        component_axis=0,
        dtype=np.dtype((">" if _flag(fields, *_ORDERS) else "<") + kind),
        packing=_packing(fields, companion is None),
        data_at=end,
        companion=companion,
        place=place,
        lines=_mask_lines(fields),
    )


def meta_mask(lines: Sequence[str], sizes: Sequence[int], labels: bytes, wide: bool) -> bytes:
    """A MetaImage mask, its ``labels`` deflated. ``sizes``: column, row, slice, ...; ``wide``: uint16."""
    packed = zlib.compress(labels, 6)
    head = [
        "ObjectType = Image",
        f"NDims = {len(sizes)}",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(packed)}",
        *lines,
        "DimSize = " + " ".join(str(size) for size in sizes),
        f"ElementType = {'MET_USHORT' if wide else 'MET_UCHAR'}",
        "ElementDataFile = LOCAL",
    ]
    return ("\n".join(head) + "\n").encode("ascii") + packed


def _fields(data: bytes) -> tuple[dict[str, str], int]:
    """The fields of :data:`_FIELDS`, and where the header ends. Raises UnreadableError, UnsupportedError."""
    fields: dict[str, str] = {}
    at = 0
    while at < min(len(data), LONGEST):
        stop = data.find(b"\n", at, LONGEST)
        stop = min(len(data), LONGEST) if stop < 0 else stop
        line = data[at:stop].strip()
        at = stop + 1
        name, equals, value = line.partition(b"=")
        key = text_of(name.rstrip())
        if not line:
            continue
        if not equals or not key.isascii() or not key.replace("_", "").isalnum():
            raise UnreadableError("the MetaImage header has a line that is not Key = Value: export the volume again")
        if key not in _FIELDS:
            continue
        if key in fields:
            raise UnreadableError(f"the MetaImage header states its {key} twice: export the volume again")
        value = value.strip()
        if any(byte < 32 and byte != 9 for byte in value):
            raise UnreadableError("the MetaImage header holds control characters: export the volume again")
        fields[key] = text_of(value)
        if key == "ElementDataFile":
            break
    if "ElementDataFile" not in fields:
        raise UnreadableError("the MetaImage header does not end (no ElementDataFile): export the volume again")
    if fields.get("ObjectType", "Image") != "Image":
        raise UnsupportedError("the MetaImage header describes no image: export the image itself")
    return fields, at


def _flag(fields: Mapping[str, str], *keys: str, default: bool = False) -> bool:
    """The truth of a key under any of its names. Raises UnreadableError."""
    stated = {_WORDS.get(fields[key].lower()) for key in keys if key in fields} or {default}
    (truth,) = stated if len(stated) == 1 else (None,)
    if truth is None:
        raise UnreadableError("the MetaImage header states neither yes nor no where it must: export the volume again")
    return truth


def _packing(fields: Mapping[str, str], is_local: bool) -> Packing:
    skip = fields.get("HeaderSize", "0")
    from_end = skip == "-1"
    count = -1 if from_end else whole(skip, WHAT)
    binary, packed = _flag(fields, "BinaryData", default=True), _flag(fields, "CompressedData")
    if count and (packed or not binary) and from_end:
        raise UnsupportedError("the MetaImage header passes over bytes in packed data: save the volume anew")
    if count > 0 and is_local:
        raise UnsupportedError("the MetaImage header passes over bytes behind itself: save the volume anew")
    if not binary:
        if packed or count:
            raise UnsupportedError("the MetaImage holds packed text: save it in binary form")
        return Packing("text")
    if not packed:
        return Packing("raw", skip_bytes=count)
    size = fields.get("CompressedDataSize")
    if size is None and is_local:
        raise UnreadableError("the MetaImage header does not state the size of its compressed data: export it again")
    return Packing("zlib", skip_bytes=count, packed_size=None if size is None else whole(size, WHAT))


def _place(fields: Mapping[str, str], axes: int) -> Place:
    """Raises UnreadableError for a geometry that is no finite numbers, or stated twice and differently."""
    values = {key: numbers(fields[key], _length(key, axes), WHAT) for key in _GEOMETRY if key in fields}
    directions = {values[key] for key in _DIRECTIONS if key in values}
    origins = {values[key] for key in _ORIGINS if key in values}
    if len(directions) > 1 or len(origins) > 1:
        raise UnreadableError("the MetaImage header contradicts itself about its place: export the volume again")
    lengths = values.get("ElementSpacing", values.get("ElementSize"))
    if not directions or axes < 3:
        return Place(lengths=lengths)
    (matrix,) = directions
    first, second, third = (vector(matrix[axis * axes : axis * axes + 3]) for axis in range(3))
    origin = vector(next(iter(origins))[:3]) if origins else (0.0, 0.0, 0.0)
    return Place(lengths=lengths, axes=(first, second, third), origin=origin)


def _length(key: str, axes: int) -> int:
    return axes * axes if key in _DIRECTIONS else axes


def _mask_lines(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Lines of the geometry as they stand; :func:`_place` has checked them."""
    keys = (*_DIRECTIONS, *_ORIGINS, "CenterOfRotation", "ElementSpacing", "ElementSize")
    lines = [f"{key} = {fields[key]}" for key in keys if key in fields]
    if re.fullmatch(r"[RLAPSI?]{2,4}", fields.get("AnatomicalOrientation", "")):
        lines.append(f"AnatomicalOrientation = {fields['AnatomicalOrientation']}")
    return tuple(lines)
