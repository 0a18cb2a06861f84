"""CCITT (fax) compression checked by a second decoder, for it has no checksums and its decoders no errors.

imagecodecs reads some sound files wrongly and both it and libtiff turn damage into a plausible picture without a word.
Only what both read alike is believed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segcli.errors import UnreadableError, UnsupportedError

_FAX = frozenset({tifffile.COMPRESSION.CCITTRLE, tifffile.COMPRESSION.CCITT_T4, tifffile.COMPRESSION.CCITT_T6})
_OPTIONS = (292, 293)
"""T4Options, T6Options."""


MAX_STRIPS = 5_000
"""Of one file: each is given to libtiff by itself, which takes half a millisecond."""


def check_strips(pages: Iterable[Any]) -> None:
    """Raise UnsupportedError if the fax data of all pages together are cut into more than MAX_STRIPS strips."""
    strips = sum(len(page.dataoffsets) for page in pages if page is not None and is_fax(page))
    if strips > MAX_STRIPS:
        raise UnsupportedError(
            f"the TIFF's fax data (CCITT) lie in {strips:,} strips, the limit is {MAX_STRIPS:,}: "
            "save it in larger strips or with another compression"
        )


def is_fax(page: Any) -> bool:
    """Whether a page is compressed as a fax."""
    return page.keyframe.compression in _FAX


def check_fax(page: Any) -> None:
    """Raise UnreadableError if imagecodecs and libtiff do not read the same in every segment of a page."""
    if not is_fax(page):
        return
    for data, found in _segments(page):
        if data is not None and not np.array_equal(_by_libtiff(data, found.shape, page.keyframe), found):
            raise UnreadableError(
                "the TIFF's fax data (CCITT) are damaged, or of a kind that decoders read differently: "
                "save it with another compression"
            )


def _segments(page: Any) -> Iterator[tuple[bytes | None, NDArray[np.bool_]]]:
    """(bytes of a strip or tile as stored, its pixels ``[row, column]`` by imagecodecs)."""
    file = page.parent.filehandle
    for data, index in file.read_segments(page.dataoffsets, page.databytecounts, sort=False):
        pixels, _, (_, rows, columns, _) = page.keyframe.decode(data, index)
        if pixels is not None:
            yield data, pixels.reshape(-1, pixels.shape[-2])[:rows, :columns].astype(np.bool_)


def _by_libtiff(data: bytes, shape: tuple[int, ...], page: Any) -> NDArray[np.bool_]:
    """The same by libtiff, which Pillow reaches through a TIFF of this one strip."""
    rows, columns = shape
    tags = {256: columns, 257: rows, 258: 1, 259: int(page.compression), 262: 1, 266: int(page.fillorder)}
    tags |= {273: 0, 277: 1, 278: rows, 279: len(data)}
    tags |= {code: int(page.tags[code].value) for code in _OPTIONS if code in page.tags}
    tags[273] = 8 + 2 + 12 * len(tags) + 4  # where the strip begins: behind the tags
    entries = b"".join(struct.pack("<HHII", code, 4, 1, tags[code]) for code in sorted(tags))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    with Image.open(io.BytesIO(head + data), formats=["TIFF"]) as image:
        return np.asarray(image, dtype=np.bool_)
