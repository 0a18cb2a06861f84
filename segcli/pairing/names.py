"""What the name of a mask says: ``a_mask``, ``a_seg`` belong to the image ``a``; ``a_mask_2`` is its mask number 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeAlias

from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.formats.mask_files import MaskFile

Numbered: TypeAlias = Literal["labels", "instances"]
"""What the numbers in names such as ``a_mask_2`` are."""

_NAME = re.compile(
    r"(?P<image>.+)_(?:masks?|seg|segmentation|labels?)(?:_(?P<number>\d{1,3}))?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class MaskName:
    """``image``: key of the image it belongs to. ``number``: None where it has none."""

    image: str
    number: int | None


def mask_name(key: str) -> MaskName | None:
    """Of the key of a file (see ``key_of``); None if the file is not named as a mask."""
    path = PurePosixPath(key)
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    number = None if match["number"] is None else int(match["number"])
    return MaskName(str(path.with_name(match["image"])), number)


def by_key(masks: Sequence[MaskFile]) -> dict[str, MaskFile]:
    """The masks by what their cases are called. Raises UsageError where two are called the same."""
    found: dict[str, MaskFile] = {}
    for mask in masks:
        other = found.setdefault(mask.key, mask)
        if other is not mask:
            raise UsageError(f"two masks are called {mask.key}: {other.path.name} and {mask.path.name}")
    return found
