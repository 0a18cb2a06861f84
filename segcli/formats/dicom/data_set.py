"""Opening a file as a DICOM data set (PS3.10 section 7, PS3.5 annex A), whatever is missing or odd about it.

No preamble, no file meta, deflated, cut short: each is found here, so that what follows sees a data set, the transfer
syntax it is in and whether pixels are there. Sizes are bounded before anything is inflated.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import SEEK_END, SEEK_SET, BufferedIOBase, BytesIO
from typing import BinaryIO, NamedTuple, cast

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from segcli.errors import SegcliError, SkippedCase, UnreadableError
from segcli.formats.dicom import kinds
from segcli.formats.dicom.elements import BrokenElementsError, check_elements
from segcli.formats.dicom.file_meta import file_meta
from segcli.formats.dicom.once import Once
from segcli.formats.dicom.recognise import has_preamble, is_bare_data_set, is_encrypted

HEADER_LIMIT = 16 * 1024 * 1024
"""What a deflated header may inflate to, if the file is large enough to pay for it."""

_INFLATED_FREE, _INFLATED_BY = 256 * 1024, 32
"""What any deflated header may inflate to, and how many times the file's own size a longer one; headers pack to a
third, and their pixels come on top.
"""

_FREE_STEPS, _BYTES_OF_A_STEP = 20_000, 16
"""Elements and items that any header may have beyond the first 64 kB, and bytes that pay for a further one: each takes
pydicom up to 20 microseconds and 1.5 kB, although an empty one is 8 bytes long.
"""

_USUAL_HEADER = 64 * 1024
_DEFLATED = kinds.DEFLATED.encode()

_UNDEFINED = b"\xff\xff\xff\xff"
_PIXEL_TAGS = {
    bytes.fromhex("e07f1000"): "PixelData",
    bytes.fromhex("7fe00010"): "PixelData",
    bytes.fromhex("e07f0800"): "FloatPixelData",
    bytes.fromhex("7fe00008"): "FloatPixelData",
    bytes.fromhex("e07f0900"): "DoubleFloatPixelData",
    bytes.fromhex("7fe00009"): "DoubleFloatPixelData",
}
"""The first four bytes of the pixel-data elements, in either byte order."""


NOT_NATIVE = "compressed pixel data although the transfer syntax says that it is not: correct the file"
"""Read as if native, the heads of its items would be taken for pixels."""


@dataclass(frozen=True)
class Opened:
    """A data set, its transfer syntax (guessed from the encoding where the file does not say), what lies behind it.

    ``pixels``: keyword of the pixel-data element that follows or is in it. ``cut``: the file ends inside an element.
    ``behind``: bytes from the pixel-data element to the end of the file, where only the header was opened; inflated.
    ``stored``: bytes of the file on the disk, there too.
    ``endless``: whether its length is undefined, as that of compressed pixels is.
    ``twice``: why its elements are not one of each; None if they are.
    """

    data_set: Dataset
    syntax: str
    pixels: str | None
    cut: bool
    behind: int = 0
    stored: int = 0
    endless: bool = False
    twice: str | None = None


def open_header(stream: BinaryIO, tags: Sequence[int]) -> Opened:
    """The elements ``tags`` of a file, up to its pixel data. Raises SkippedCase (encrypted) or UnreadableError."""
    stored = stored_bytes(stream)
    head = stream.read(4096)
    stream.seek(0)
    refuse_encrypted(head)
    try:
        if not (has_preamble(head) or is_bare_data_set(head)):
            raise UnreadableError("not a DICOM file")
        if _is_deflated(head):
            stream = _inflated(
                stream.read(), min(HEADER_LIMIT, max(_INFLATED_FREE, _INFLATED_BY * stored)), whole=False
            )
        size = stream.seek(0, SEEK_END)
        header = _up_to_pixels(stream, size, stored, tags)
        behind = size - header.end
        cut = header.pixels is None and behind != 0
    except SegcliError:
        raise
    except Exception as error:  # noqa: BLE001 - any library error on hostile bytes; its text may quote values
        raise UnreadableError(f"the DICOM header cannot be read ({type(error).__name__})") from None
    syntax = _syntax(header.data_set, head)
    return Opened(header.data_set, syntax, header.pixels, cut, behind, stored, header.endless, header.twice)


def open_whole(data: bytes, limit: int, tags: Sequence[int]) -> Opened:
    """The elements ``tags`` of the file ``data``, pixels included if among them. Raises as :func:`open_header`.

    ``limit``: bytes a deflated data set may inflate to; more is refused before it is held.
    """
    head = data[:4096]
    refuse_encrypted(head)
    stream: BinaryIO = BytesIO(data)
    try:
        if _is_deflated(head):
            stream = _inflated(data, limit, whole=True)
        watch = Once(tags, up_to_pixels=False)
        data_set = read_partial(stream, watch, force=True, specific_tags=list(tags))
        if watch.problem is not None:
            raise UnreadableError(watch.problem)
        found = sorted(keyword for keyword in set(_PIXEL_TAGS.values()) if keyword in data_set)
        if len(found) > 1:
            raise UnreadableError(f"{' and '.join(found)} in one file: which of them is the image?")
        pixels = found[0] if found else None
        endless = pixels is not None and bool(data_set[pixels].is_undefined_length)
    except SegcliError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise UnreadableError(f"the DICOM file cannot be read ({type(error).__name__})") from None
    return Opened(data_set, _syntax(data_set, head), pixels, False, endless=endless)


class _Header(NamedTuple):
    """Elements, where they end, the keyword of the pixel-data element there and whether that has no stated length.

    ``twice``: as in :class:`Opened`.
    """

    data_set: Dataset
    end: int
    pixels: str | None
    endless: bool
    twice: str | None


def stored_bytes(stream: BinaryIO) -> int:
    """Bytes of an open file as they lie on the disk: the holes of a sparse file are none."""
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # in memory
        return stream.seek(0, SEEK_END)
    return min(found.st_size, found.st_blocks * 512) if hasattr(found, "st_blocks") else found.st_size


class _Paid(BufferedIOBase):
    """A stream that may be read as often as its bytes pay for; pydicom reads at least once an element and item."""

    def __init__(self, stream: BinaryIO, steps: int) -> None:
        self._stream, self._left = stream, steps

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise UnreadableError("a header of more elements than its size explains: correct the file")
        return self._stream.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _up_to_pixels(stream: BinaryIO, size: int, stored: int, tags: Sequence[int]) -> _Header:
    """The header of a file.

    Tried on the first bytes in memory, where pydicom's many small steps are cheap; a header that does not reach its
    pixels within them is read from the file.
    """
    stream.seek(0)
    if size > _USUAL_HEADER:
        try:
            header: _Header | None = _up_to_pixels(
                BytesIO(stream.read(_USUAL_HEADER)), _USUAL_HEADER, _USUAL_HEADER, tags
            )
        except Exception:  # noqa: BLE001 - cut in the middle of an element, which may raise anything
            header = None
        if header is not None and header.pixels is not None:
            return header
        stream.seek(0)
        stream = cast("BinaryIO", _Paid(stream, _FREE_STEPS + stored // _BYTES_OF_A_STEP))
    watch = Once(tags, up_to_pixels=True)
    data_set = read_partial(stream, watch, force=True, specific_tags=list(tags))
    end = stream.tell()
    element = stream.read(12)
    implicit, _ = data_set.original_encoding
    length = element[4:8] if implicit else element[8:12]  # OB and OW have it in four bytes behind two of nothing
    return _Header(data_set, end, _PIXEL_TAGS.get(element[:4]), length == _UNDEFINED, watch.problem)


def refuse_encrypted(head: bytes) -> None:
    """Raise SkippedCase where the file is a CMS envelope."""
    if is_encrypted(head) and not has_preamble(head):
        raise SkippedCase("an encrypted DICOM file (CMS envelope)")


def _syntax(data_set: Dataset, head: bytes) -> str:
    meta = getattr(data_set, "file_meta", None)
    stated = str(meta.get("TransferSyntaxUID", "") or "") if meta is not None else ""
    if stated:
        return kinds.DEFLATED if _is_deflated(head) else stated
    implicit, little = data_set.original_encoding
    if not little:
        return kinds.EXPLICIT_BIG
    return kinds.IMPLICIT_LITTLE if implicit else kinds.EXPLICIT_LITTLE


def _is_deflated(head: bytes) -> bool:
    return _DEFLATED in head and file_meta(head)[1] == kinds.DEFLATED


def _inflated(data: bytes, limit: int, *, whole: bool) -> BytesIO:
    """The file with its data set inflated and relabelled Explicit VR Little Endian, at most ``limit`` bytes of it.

    zlib is asked for no more than ``limit`` bytes, so a bomb of 300 MB in 0.3 MB never unfolds (PS3.5 annex A.5).
    """
    start, _ = file_meta(data[:4096])
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(data[start:], limit)
    if whole and inflater.unconsumed_tail:
        raise UnreadableError("a deflated data set that inflates to more than its own sizes explain")
    if whole:
        _check_deflated(body, inflater)
    plain = kinds.EXPLICIT_LITTLE.encode()
    meta = data[:start].replace(_DEFLATED, plain + b"\0" * (len(_DEFLATED) - len(plain)), 1)
    return BytesIO(meta + body)


def _check_deflated(body: bytes, inflater: zlib._Decompress) -> None:
    """Deflated data sets carry no checksum, but they have an end, and elements that lead to it."""
    try:
        check_elements(body)
    except BrokenElementsError:
        raise UnreadableError("a deflated data set whose elements do not follow each other: it is damaged") from None
    if not inflater.eof or inflater.unused_data.strip(b"\0"):
        raise UnreadableError("a deflated data set without its end: it was cut short or damaged")
