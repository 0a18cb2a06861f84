"""The header of an NRRD file, read once and strictly, and the header of an NRRD mask.

A field that means something here may stand only once, and a line that is neither field, key/value pair nor comment is
an error, as in the format's own library.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.units import is_length, to_mm
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

WHAT = "NRRD"
_MAGIC = frozenset(f"NRRD000{version}".encode() for version in range(1, 6))
_FIELDS = frozenset(
    {
        *("type", "dimension", "sizes", "spacings", "space", "spacedimension", "spacedirections", "spaceorigin"),
        *("kinds", "endian", "encoding", "lineskip", "byteskip", "datafile", "blocksize", "units", "spaceunits"),
    }
)
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {
    **{"raw": "raw", "gzip": "gzip", "gz": "gzip", "hex": "hex"},
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
}
_TO_LPS: Mapping[str, tuple[float, float, float]] = {
    **dict.fromkeys(("right-anterior-superior", "ras", "right-anterior-superior-time", "rast"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las", "left-anterior-superior-time", "last"), (1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-posterior-superior", "lps", "left-posterior-superior-time", "lpst"), (1.0, 1.0, 1.0)),
}
_OTHER_SPACES = frozenset({"scanner-xyz", "scanner-xyz-time", "3d-right-handed", "3d-left-handed"})
_DOMAIN_KINDS = frozenset({"domain", "space", "time", "???", "none"})
_VECTOR = re.compile(r"none|\([^()]*\)")
_QUOTED = re.compile(r'"([^"]*)"')
_SPACING = re.compile(r"[-+0-9.eE]+|nan", re.IGNORECASE)
_ENDIAN = {"little": "<", "big": ">"}


def nrrd_header(data: bytes) -> VolumeHeader:
    """``data``: the file, or its first :data:`LONGEST` bytes.

    Raises UnreadableError, or UnsupportedError for what segcli does not read and for data outside the header's folder.
    """
    lines, end = _lines(data)
    fields = _fields(lines)
    stored = sides(fields.get("sizes", ""), WHAT, "sizes")
    if whole(fields.get("dimension", str(len(stored))), WHAT) != len(stored):
        raise UnreadableError("the NRRD header contradicts itself about its axes: export the volume again")
    file = fields.get("datafile")
    companion = None if file is None else beside(file, WHAT)
    kinds = _kinds(fields, len(stored))
    components = [axis for axis, kind in enumerate(kinds) if kind not in _DOMAIN_KINDS]
    if len(components) > 1:
        raise UnsupportedError("the NRRD volume has several axes that are no directions in space: split it first")
    if any(kinds[axis] == "complex" for axis in components):
        raise UnsupportedError("the NRRD volume holds complex numbers: convert it to integers or floats first")
    if any("masked" in kinds[axis] for axis in components):
        raise UnsupportedError("the NRRD volume holds tensors with a mask: split it first")
    kept = [axis for axis in range(len(stored)) if axis not in components]
    check_axes(len(kept))
    _check_units(fields)
    if any(kinds[axis] == "time" for axis in kept[:3]):
        raise UnsupportedError("the NRRD volume has time among its first three axes: put it behind three of space")
    return VolumeHeader(
        sizes=tuple(stored[axis] for axis in kept),
        components=stored[components[0]] if components else 1,
        component_axis=components[0] if components else 0,
        dtype=_dtype(fields),
        packing=_packing(fields),
        data_at=end,
        companion=companion,
        place=_place(fields, kinds, kept),
        lines=_mask_lines(fields, kinds, kept),
    )


def nrrd_mask(lines: Sequence[str], sizes: Sequence[int], labels: bytes, wide: bool) -> bytes:
    """An NRRD mask, its ``labels`` gzipped. ``sizes``: column, row, slice, ...; ``wide``: uint16."""
    head = [
        "NRRD0004",
        f"type: {'unsigned short' if wide else 'unsigned char'}",
        f"dimension: {len(sizes)}",
        *(line for line in lines if line.startswith("space") and not line.startswith(("space dir", "space or"))),
        "sizes: " + " ".join(str(size) for size in sizes),
        *(line for line in lines if not line.startswith("space") or line.startswith(("space dir", "space or"))),
        "endian: little",
        "encoding: gzip",
    ]
    return ("\n".join(head) + "\n\n").encode("ascii") + gzip.compress(labels, compresslevel=6, mtime=0)


def _lines(data: bytes) -> tuple[list[bytes], int]:
    """The lines up to the first empty one, and where the data begin: behind it, or nowhere."""
    lines: list[bytes] = []
    at = 0
    while at < len(data):
        stop = data.find(b"\n", at, LONGEST)
        if stop < 0:
            stop = min(len(data), LONGEST)
            if stop == LONGEST:
                raise UnreadableError("the NRRD header does not end: export the volume again")
        line = data[at:stop].removesuffix(b"\r")
        at = stop + 1
        if not line:
            break
        lines.append(line)
    if not lines or lines[0].strip() not in _MAGIC:
        raise UnsupportedError("the NRRD file is of a version that segcli does not read: save it with another program")
    return lines[1:], at


def _fields(lines: Sequence[bytes]) -> dict[str, str]:
    """The fields of :data:`_FIELDS`, names without blanks. Raises UnreadableError."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b": ")
        key = text_of(name.strip().lower().replace(b" ", b""))
        if line.startswith(b"#"):
            continue
        if not colon and b":=" not in line:
            raise UnreadableError("the NRRD header has a line that is no field: export the volume again")
        if not colon or key not in _FIELDS:
            continue
        if key in fields:
            raise UnreadableError(f"the NRRD header states its {key} twice: export the volume again")
        if any(byte < 32 and byte != 9 for byte in value):
            raise UnreadableError("the NRRD header holds control characters: export the volume again")
        fields[key] = text_of(value.strip(b" \t"))
    return fields


def _check_units(fields: Mapping[str, str]) -> None:
    """Raise UnsupportedError where lengths are stated in another unit than mm."""
    along = _QUOTED.findall(fields.get("units", ""))  # of a time axis too
    in_space = [unit for unit in _QUOTED.findall(fields.get("spaceunits", "")) if unit not in ("", "mm", "millimeter")]
    if in_space or any(is_length(unit) and to_mm(1.0, unit) != 1.0 for unit in along):
        raise UnsupportedError("the NRRD header states lengths in another unit than mm: save the volume in mm")


def _dtype(fields: Mapping[str, str]) -> np.dtype[Any]:
    code = _TYPES.get(fields.get("type", "").lower())
    if code is None:
        raise UnreadableError("the NRRD header states no known type of voxels: export the volume again")
    order = _ENDIAN.get(fields.get("endian", "").lower())
    if order is None and code[1] != "1" and fields.get("encoding", "").lower() not in ("txt", "text", "ascii"):
        raise UnreadableError("the NRRD header does not state the order of its bytes: export the volume again")
    return np.dtype((order or "<") + code)


def _packing(fields: Mapping[str, str]) -> Packing:
    word = fields.get("encoding", "").lower()
    if word in ("bzip2", "bz2"):
        raise UnsupportedError("the NRRD volume is packed with bzip2: save it with the encoding gzip")
    encoding = _ENCODINGS.get(word)
    if encoding is None:
        raise UnreadableError("the NRRD header states no known encoding: export the volume again")
    lines, skip = whole(fields.get("lineskip", "0"), WHAT), fields.get("byteskip", "0")
    from_end = skip == "-1"
    count = -1 if from_end else whole(skip, WHAT)
    if count and encoding != "raw" and (from_end or encoding != "gzip"):
        raise UnsupportedError("the NRRD header passes over bytes in packed data: save the volume anew")
    return Packing(encoding, skip_lines=0 if from_end else lines, skip_bytes=count)  # type: ignore[arg-type]


def _kinds(fields: Mapping[str, str], axes: int) -> list[str]:
    kinds = fields.get("kinds", "").lower().split() or ["???"] * axes
    if len(kinds) != axes:
        raise UnreadableError("the NRRD header contradicts itself about its axes: export the volume again")
    return kinds


def _place(fields: Mapping[str, str], kinds: Sequence[str], kept: Sequence[int]) -> Place:
    """Lengths and directions of the spatial axes. Raises UnreadableError, UnsupportedError."""
    if "spacedirections" in fields:
        return _directed(fields, kinds, kept)
    words = fields.get("spacings", "").lower().split()
    if not words:
        return Place()
    if len(words) != len(kinds):
        raise UnreadableError("the NRRD header contradicts itself about its axes: export the volume again")
    stated = [words[axis] for axis in kept[:3]]
    if "nan" in stated:  # NRRD's word for unknown
        return Place()
    return Place(lengths=numbers(" ".join(stated), len(stated), WHAT))


def _directed(fields: Mapping[str, str], kinds: Sequence[str], kept: Sequence[int]) -> Place:
    each = _VECTOR.findall(fields["spacedirections"])
    if len(each) != len(kinds) or _VECTOR.sub("", fields["spacedirections"]).strip():
        raise UnreadableError("the NRRD header contradicts itself about its axes: export the volume again")
    if any(each[axis] == "none" and (axis < 3 or kinds[axis] != "time") for axis in kept):
        raise UnsupportedError("the NRRD volume has an axis without direction or kind: state its kind, or split it")
    steps = [_vector(each[axis]) for axis in kept[:3] if each[axis] != "none"]
    lengths = tuple(math.sqrt(sum(value * value for value in step)) for step in steps)
    if not all(0 < length < math.inf for length in lengths):
        raise UnreadableError("the volume states a spacing that is no positive length: export it again")
    signs = _TO_LPS.get(fields.get("space", "").lower())
    if signs is None or len(steps) < 3:
        return Place(lengths=lengths)
    if any(len(step) not in (3, 4) or any(step[3:]) for step in steps):
        raise UnreadableError("the volume's directions make no sense: export it again")
    axes = [
        vector([sign * value * (1.0 / length) for sign, value in zip(signs, step, strict=False)])
        for step, length in zip(steps, lengths, strict=True)
    ]
    if "spaceorigin" not in fields:
        return Place(lengths=lengths, axes=(axes[0], axes[1], axes[2]))
    origin = _vector(fields["spaceorigin"])
    if len(origin) not in (3, 4):
        raise UnreadableError("the volume's directions make no sense: export it again")
    place = vector([sign * value for sign, value in zip(signs, origin, strict=False)])
    return Place(lengths=lengths, axes=(axes[0], axes[1], axes[2]), origin=place)


def _vector(text: str) -> tuple[float, ...]:
    inside = text.strip().removeprefix("(").removesuffix(")").split(",")[:8]
    return numbers(" ".join(inside), len(inside), WHAT)


def _mask_lines(fields: Mapping[str, str], kinds: Sequence[str], kept: Sequence[int]) -> tuple[str, ...]:
    """Geometry lines without the axis of vector components, if there is one; :func:`_place` has checked them."""
    lines = []
    if fields.get("space", "").lower() in _TO_LPS.keys() | _OTHER_SPACES:
        lines.append(f"space: {fields['space']}")
    elif fields.get("spacedimension", "").isdecimal():
        lines.append(f"space dimension: {whole(fields['spacedimension'], WHAT)}")
    if "spacedirections" in fields:
        each = _VECTOR.findall(fields["spacedirections"])
        lines.append("space directions: " + " ".join(each[axis] for axis in kept))
    spacings = fields.get("spacings", "").split()
    if len(spacings) == len(kinds) and all(_SPACING.fullmatch(word) for word in spacings):
        lines.append("spacings: " + " ".join(spacings[axis] for axis in kept))
    words = fields.get("kinds", "").split()
    if words:
        lines.append("kinds: " + " ".join(words[axis] for axis in kept))
    if re.fullmatch(r"[-+0-9.eE,() \t]+", fields.get("spaceorigin", "")):
        lines.append(f"space origin: {fields['spaceorigin']}")
    return tuple(lines)
