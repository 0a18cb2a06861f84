"""Images, labels and errors as the JSON that crosses between the main process and a reader process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import ERRORS, SegcliError, UnreadableError
from segcli.formats.decoding import HUNGRY, OUT_OF_DESCRIPTORS, TOO_MANY_FILES
from segcli.formats.interface import Description, Format, OpenBands, ReadRequest
from segcli.formats.pixel_memory import PixelMemory
from segcli.image import Geometry, Image, Json, LabelMap
from segcli.regular_file import NotRegularError

_LONGEST_MESSAGE = 500

_PLAIN: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, f"{HUNGRY}: export it again, or convert it to a smaller one"),
    (NotRegularError, "it is no regular file any more: run again"),
    (PermissionError, "no permission to read the file: check its rights"),
    (FileNotFoundError, "a file vanished after the folder was scanned: run again"),
)


def error_to_json(error: Exception) -> Json:
    """Class and one line. The text of foreign exceptions is dropped, for it may quote header values or paths."""
    name = type(error).__name__
    if isinstance(error, SegcliError) and name in ERRORS:
        return {"error": name, "text": " ".join(str(error).split())[:_LONGEST_MESSAGE]}
    if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
        return _unreadable(TOO_MANY_FILES)
    for kind, text in _PLAIN:
        if isinstance(error, kind):
            return _unreadable(text)
    return _unreadable(f"its decoder gave up ({name}): repair it or export it again")


def _unreadable(text: str) -> Json:
    return {"error": "UnreadableError", "text": text}


def error_from_json(message: Json) -> SegcliError:
    """Inverse of :func:`error_to_json`."""
    return ERRORS.get(str(message["error"]), UnreadableError)(str(message["text"])[:_LONGEST_MESSAGE])


def description_to_json(description: Description) -> Json:
    """For the reader process."""
    details = None if description.details is None else description.details.to_json()
    return {item.name: getattr(description, item.name) for item in fields(Description)} | {"details": details}


def description_from_json(message: Json, source: Format) -> Description:
    """Inverse of :func:`description_to_json`; ``source``: the file's format."""
    shape, spacing, words = message["shape"], message["spacing"], message["series_words"]
    return Description(
        modality=message["modality"],
        shape=None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
        spacing=None if spacing is None else tuple(float(step) for step in spacing),
        orientation=message["orientation"],
        warnings=tuple(message["warnings"]),
        series=message["series"],
        series_words=None if words is None else (str(words[0]), str(words[1])),
        banded=bool(message["banded"]),
        companions=tuple(message["companions"]),
        details=None if message["details"] is None else source.details_of_file(message["details"]),
    )


def request_to_json(request: ReadRequest) -> Json:
    """For the main process."""
    return asdict(request)


def request_from_json(message: Json) -> ReadRequest:
    """Inverse of :func:`request_to_json`."""
    channels = message.pop("channels")
    return ReadRequest(channels=None if channels is None else tuple(channels), **message)


def parts_to_json(parts: Sequence[Image | LabelMap], memory: PixelMemory) -> Json:
    """Lay the pixels of ``parts`` into ``memory``; what comes back says where each lies."""
    result = []
    for part in parts:
        valid = part.valid if isinstance(part, Image) else None
        result.append(
            {
                "pixels": memory.put(part.pixels),
                "valid": None if valid is None else memory.put(valid),
                "geometry": part.geometry.to_json(),
                "extra": dict(part.extra),
            }
        )
    return result


def bands_to_json(bands: Sequence[OpenBands]) -> Json:
    """What the main process must know of parts that stay open."""
    return [
        {
            "shape": list(part.shape),
            "dtype": part.dtype.newbyteorder("=").str,
            "geometry": part.geometry.to_json(),
            "extra": dict(part.extra),
        }
        for part in bands
    ]


def places_of(parts: Json) -> list[Json]:
    """Where the arrays of :func:`parts_to_json` lie, pixels before valid, part by part."""
    return [part[key] for part in parts for key in ("pixels", "valid") if part[key] is not None]


def images_from(parts: Json, arrays: Sequence[NDArray[Any]]) -> tuple[Image, ...]:
    """The images whose arrays, in the order of :func:`places_of`, are ``arrays``."""
    rest = iter(arrays)
    result = []
    for part in parts:
        pixels = next(rest)
        valid = None if part["valid"] is None else next(rest).astype(np.bool_, copy=False)
        result.append(Image(pixels, Geometry.from_json(part["geometry"]), valid, part["extra"]))
    return tuple(result)


def label_maps_from(parts: Json, arrays: Sequence[NDArray[Any]]) -> tuple[LabelMap, ...]:
    """The label maps whose arrays are ``arrays``."""
    return tuple(
        LabelMap(pixels, Geometry.from_json(part["geometry"]), part["extra"])
        for part, pixels in zip(parts, arrays, strict=True)
    )
