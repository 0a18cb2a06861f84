"""The text headers of NRRD and MetaImage: which files belong together, what geometry is stated, what the mask repeats.

SimpleITK reads the pixels. It does not say whether a geometry was stated or made up, follows data files anywhere, and
takes a damaged MetaImage for a sound one: for these three the headers are read here as well.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.decoding import inflate

_LONGEST = 1 << 20
_NUMBERS = re.compile(r"[-+0-9.eE,() \t]+")
_DIRECTIONS = re.compile(r"(?:\s*(?:none|\([-+0-9.eE, \t]+\)))+\s*")
_SPACES = frozenset(
    {
        *("right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps"),
        *("right-anterior-superior-time", "rast", "left-anterior-superior-time", "last"),
        *("left-posterior-superior-time", "lpst"),
    }
)
_OTHER_SPACES = frozenset({"scanner-xyz", "scanner-xyz-time", "3d-right-handed", "3d-left-handed"})
_DOMAIN_KINDS = frozenset({"domain", "space", "time", "???"})
_META_SIZES = {
    "CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4,
    "LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
_NRRD_SIZES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
    "float": 4,
}
_META_NUMBERS = ("TransformMatrix", "Rotation", "Orientation", "Offset", "Origin", "Position", "CenterOfRotation")
_TRUE = frozenset({"true", "1", "yes", "t", "y"})


@dataclass(frozen=True)
class Stated:
    """What a header says beside the pixels.

    ``companion``: path of the data file relative to the header, None if the data follow the header. ``has_axes``,
    ``has_spacing``: whether directions and positions, or at least lengths, are stated. ``lines``: header lines of the
    geometry alone, for the mask. ``data_at``: where the header ends. ``fields``: all of it, for the checks.
    """

    companion: str | None
    has_axes: bool
    has_spacing: bool
    lines: tuple[str, ...]
    data_at: int
    fields: Mapping[str, str]


def nrrd_header(data: bytes) -> Stated:
    """Raises UnreadableError, or UnsupportedError for data in several files or outside the header's folder."""
    match = re.search(rb"\r?\n\r?\n", data[:_LONGEST])
    end = match.end() if match else min(len(data), _LONGEST)
    fields: dict[str, str] = {}
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        key, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            fields[key.strip().lower()] = value.strip()
    sizes = fields.get("sizes", "").split()
    if not sizes or not all(size.isdecimal() for size in sizes):
        raise UnreadableError("the NRRD header states no sizes: export the volume again")
    file = fields.get("data file", fields.get("datafile"))
    known_space = fields.get("space", "").lower() in _SPACES
    directions = _nrrd_directions(fields, len(sizes))
    return Stated(
        companion=None if file is None else _beside(file, "NRRD"),
        has_axes=known_space and directions,
        has_spacing=directions or _nrrd_spacings(fields, len(sizes)),
        lines=_nrrd_lines(fields, len(sizes)),
        data_at=end,
        fields=fields,
    )


def meta_header(data: bytes) -> Stated:
    """Raises UnreadableError, or UnsupportedError for data in several files or outside the header's folder."""
    match = re.search(rb"^[ \t]*ElementDataFile[ \t]*=[^\n]*(\n|\Z)", data[:_LONGEST], re.MULTILINE)
    if match is None:
        raise UnreadableError("the MetaImage header does not end (no ElementDataFile): export the volume again")
    fields: dict[str, str] = {}
    for line in data[: match.end()].decode("latin-1").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip()] = value.strip()
    _check_meta_numbers(fields)
    file = fields["ElementDataFile"]
    sizes = fields.get("DimSize", "").split()
    if not sizes or not all(size.isdecimal() for size in sizes):
        raise UnreadableError("the MetaImage header states no DimSize: export the volume again")
    return Stated(
        companion=None if file.upper() == "LOCAL" else _beside(file, "MetaImage"),
        has_axes=any(key in fields for key in ("TransformMatrix", "Rotation", "Orientation")),
        has_spacing="ElementSpacing" in fields or "ElementSize" in fields,
        lines=_meta_lines(fields),
        data_at=match.end(),
        fields=fields,
    )


def check_nrrd(stated: Stated, payload: bytes) -> None:
    """As :func:`check_meta`: the decoder takes some damaged gzip streams for sound ones.

    Raises zlib.error or EOFError, too, for a damaged stream. Text encodings and skipped lines are left to the decoder.
    """
    fields = stated.fields
    from_end = fields.get("byte skip", fields.get("byteskip")) == "-1"
    if not from_end and any(fields.get(key, "0") != "0" for key in ("line skip", "lineskip", "byte skip", "byteskip")):
        return
    expected = _NRRD_SIZES.get(fields.get("type", "").lower())
    if expected is None:
        raise UnreadableError("the NRRD header states no known type of voxels: export the volume again")
    for side in fields["sizes"].split():
        expected *= int(side)
    encoding = fields.get("encoding", "").lower()
    if encoding in ("bzip2", "bz2"):
        raise UnsupportedError("the NRRD volume is packed with bzip2: save it with the encoding gzip")
    sound = True
    if encoding == "raw":
        sound = len(payload) >= expected
    elif encoding in ("gzip", "gz"):
        sound = len(inflate(payload, expected + 1)) == expected  # damaged streams may unpack to more
    if not sound:
        raise UnreadableError("the NRRD volume is cut off or damaged: it does not hold the voxels its header states")


def check_meta(stated: Stated, payload: bytes) -> None:
    """Whether ``payload`` (what stands behind the header, or the companion's bytes) holds every voxel.

    Raises UnreadableError: SimpleITK would hand over uninitialised memory for what is missing.
    """
    fields = stated.fields
    if fields.get("BinaryData", "True").lower() not in _TRUE:
        return
    size = _META_SIZES.get(fields.get("ElementType", "").removesuffix("_ARRAY").removeprefix("MET_"))
    channels = fields.get("ElementNumberOfChannels", "1")
    if size is None or not channels.isdecimal():
        raise UnreadableError("the MetaImage header states no known type of voxels: export the volume again")
    expected = size * int(channels)
    for side in fields["DimSize"].split():
        expected *= int(side)
    if fields.get("CompressedData", "False").lower() in _TRUE:
        payload = _meta_packed(stated, payload)
        unpacker = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
        have = len(unpacker.decompress(payload, expected + 1))
        if have == expected and not unpacker.eof:
            unpacker.decompress(unpacker.unconsumed_tail, 1)  # the checksum stands behind the last voxel
        sound = have == expected and unpacker.eof
    else:
        skipped = fields.get("HeaderSize", "0")
        sound = len(payload) - (int(skipped) if skipped.isdecimal() else 0) >= expected
    if not sound:
        raise UnreadableError("the MetaImage is cut off or damaged: it does not hold the voxels its header states")


def _meta_packed(stated: Stated, payload: bytes) -> bytes:
    """What the decoder will take for the compressed voxels: where that is not all of them it returns noise."""
    size = stated.fields.get("CompressedDataSize")
    if size is None and stated.companion is not None:
        return payload
    if size is None or not size.isdecimal():
        raise UnreadableError("the MetaImage header does not state the size of its compressed data: export it again")
    return payload[: int(size)]


def nrrd_mask(lines: Sequence[str], sizes: Sequence[int], wide: bool) -> bytes:
    """Header of an NRRD mask with gzipped data behind it. ``sizes``: column, row, slice, ...; ``wide``: uint16."""
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
    return ("\n".join(head) + "\n\n").encode("ascii")


def meta_mask(lines: Sequence[str], sizes: Sequence[int], wide: bool, packed: int) -> bytes:
    """Header of a MetaImage mask with ``packed`` bytes of deflated data behind it."""
    head = [
        "ObjectType = Image",
        f"NDims = {len(sizes)}",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {packed}",
        *lines,
        "DimSize = " + " ".join(str(size) for size in sizes),
        f"ElementType = {'MET_USHORT' if wide else 'MET_UCHAR'}",
        "ElementDataFile = LOCAL",
    ]
    return ("\n".join(head) + "\n").encode("ascii")


def _beside(file: str, what: str) -> str:
    """The companion's path if it stays in the header's folder."""
    if file.split(" ", maxsplit=1)[0].upper() == "LIST" or "%" in file:
        raise UnsupportedError(f"the {what} volume lies in several data files: save it as one file first")
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file or "\0" in file:
        raise UnsupportedError(f"the {what} header refers to a data file outside its folder: move it beside the header")
    return str(path)


def _nrrd_kept(fields: Mapping[str, str], axes: int) -> list[int]:
    """The axes that are no vector components."""
    kinds = fields.get("kinds", "").lower().split() or ["???"] * axes
    return [i for i in range(axes) if i >= len(kinds) or kinds[i] in _DOMAIN_KINDS]


def _nrrd_directions(fields: Mapping[str, str], axes: int) -> bool:
    """Whether directions are stated. Raises UnsupportedError for an axis of which it is unknown what it is."""
    if "space directions" not in fields:
        return False
    each = re.findall(r"none|\([^)]*\)", fields["space directions"])
    without = [i for i in _nrrd_kept(fields, axes) if i < len(each) and each[i] == "none"]
    kinds = fields.get("kinds", "").lower().split()
    if any(i < 3 or kinds[i : i + 1] != ["time"] for i in without):
        raise UnsupportedError("the NRRD volume has an axis without direction or kind: state its kind, or split it")
    return True


def _nrrd_spacings(fields: Mapping[str, str], axes: int) -> bool:
    """Whether the lengths of all spatial axes are stated; NaN is NRRD's word for unknown."""
    words = fields.get("spacings", "").lower().split()
    return bool(words) and not any(words[i] == "nan" for i in _nrrd_kept(fields, axes)[:3] if i < len(words))


def _nrrd_lines(fields: Mapping[str, str], axes: int) -> tuple[str, ...]:
    """Geometry lines without the axis of vector components, if there is one."""
    kinds = fields.get("kinds", "").split()
    components = [i for i, kind in enumerate(kinds) if kind.lower() not in _DOMAIN_KINDS]
    kept = [i for i in range(axes) if i not in components]
    lines = []
    if fields.get("space", "").lower() in _SPACES | _OTHER_SPACES:
        lines.append(f"space: {fields['space']}")
    elif fields.get("space dimension", "").isdecimal():
        lines.append(f"space dimension: {fields['space dimension']}")
    directions = fields.get("space directions", "")
    if _DIRECTIONS.fullmatch(directions):
        each = re.findall(r"none|\([^)]*\)", directions)
        if len(each) == axes:
            lines.append("space directions: " + " ".join(each[i] for i in kept))
    spacings = fields.get("spacings", "").split()
    if len(spacings) == axes and all(_NUMBERS.fullmatch(word) or word.lower() == "nan" for word in spacings):
        lines.append("spacings: " + " ".join(spacings[i] for i in kept))
    if len(kinds) == axes:
        lines.append("kinds: " + " ".join(kinds[i] for i in kept))
    if _NUMBERS.fullmatch(fields.get("space origin", "")):
        lines.append(f"space origin: {fields['space origin']}")
    return tuple(lines)


def _check_meta_numbers(fields: Mapping[str, str]) -> None:
    """Raise UnreadableError for a geometry that is no finite numbers: the decoder reads 0 for them."""
    for key in (*_META_NUMBERS, "ElementSpacing", "ElementSize"):
        if key in fields and not _NUMBERS.fullmatch(fields[key]):
            raise UnreadableError("the MetaImage header states a geometry that is no numbers: export the volume again")


def _meta_lines(fields: Mapping[str, str]) -> tuple[str, ...]:
    lines = []
    for key in (*_META_NUMBERS, "ElementSpacing", "ElementSize"):
        if _NUMBERS.fullmatch(fields.get(key, "")):
            lines.append(f"{key} = {fields[key]}")
    if re.fullmatch(r"[RLAPSI?]{2,4}", fields.get("AnatomicalOrientation", "")):
        lines.append(f"AnatomicalOrientation = {fields['AnatomicalOrientation']}")
    return tuple(lines)
