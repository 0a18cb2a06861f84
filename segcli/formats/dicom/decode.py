"""Stored pixel values of one frame after the other (PS3.5 sections 8.1 and 8.2, annex A).

One decoder per transfer syntax, pinned: imagecodecs for everything compressed, pydicom for native colour and big-endian
data, NumPy for other native data. Nothing falls through to another decoder: one that accepts what the first refused
would return a plausible false image. imagecodecs releases Python's global lock, so frames may be asked for in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_fragmented_frames
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from segcli.errors import CaseError, UnreadableError, UnsupportedError
from segcli.formats.dicom import kinds, strict, values
from segcli.formats.dicom.codestream import Codestream, read_jpeg, read_jpeg2000
from segcli.formats.dicom.data_set import NOT_NATIVE, Opened
from segcli.formats.dicom.layout import Layout
from segcli.formats.dicom.rle import decode_rle
from segcli.formats.jpeg_2000 import codestream_of

_PADDING = 16
_END_OF_IMAGE = b"\xff\xd9"
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
"""With which a JPEG or JPEG-LS stream, a JPEG 2000 codestream and a JP2 file begin."""

Frame = tuple[NDArray[Any], bool]
"""``[row, column]`` or ``[row, column, sample]`` of stored values, and whether samples are Y, Cb, Cr."""

FrameReader = Callable[[int], Frame]
"""Frame index → frame."""


def frame_reader(opened: Opened, layout: Layout) -> FrameReader:
    """How to get at the frames of an instance. Raises UnreadableError if its bytes cannot hold the stated sizes."""
    try:
        if opened.pixels != "PixelData":
            return _floats(opened, layout)
        if opened.syntax in kinds.NATIVE:
            if opened.endless:
                raise UnreadableError(NOT_NATIVE)
            return _native(opened, layout)
        return _encapsulated(opened, layout)
    except CaseError:
        raise
    except Exception as error:  # noqa: BLE001 - any decoder error on damaged bytes; its text may quote values
        raise UnreadableError(f"the pixel data cannot be decoded ({type(error).__name__})") from None


def to_integers(raw: NDArray[Any], layout: Layout, precision: int | None = None) -> NDArray[Any]:
    """Bits allocated → stored values: bits above the high bit (overlays) cleared, sign extended (PS3.5 section 8.1.1).

    ``precision``: bits the compressed stream holds, where it differs from bits stored.
    """
    bits = min(layout.stored, precision or layout.stored)
    width = raw.dtype.itemsize * 8
    unsigned = raw.view(f"u{raw.dtype.itemsize}")
    shift = layout.high + 1 - layout.stored
    if shift:
        unsigned = unsigned >> np.array(shift, unsigned.dtype)
    if bits < width:
        unsigned = unsigned & np.array((1 << bits) - 1, unsigned.dtype)
    if not layout.signed:
        return unsigned
    if bits < width:
        sign = np.array(1 << (bits - 1), unsigned.dtype)
        unsigned = (unsigned ^ sign) - sign
    return unsigned.view(f"i{raw.dtype.itemsize}")


def _floats(opened: Opened, layout: Layout) -> FrameReader:
    dtype = np.dtype("f4" if opened.pixels == "FloatPixelData" else "f8")
    if opened.syntax not in kinds.NATIVE or layout.samples != 1:
        raise UnsupportedError("floating-point pixels other than native, one sample a pixel")
    frames = _whole_buffer(
        opened, layout, dtype.newbyteorder("big" if opened.syntax == kinds.EXPLICIT_BIG else "little")
    )
    return lambda index: (frames[index].astype(dtype, copy=False), False)


def _native(opened: Opened, layout: Layout) -> FrameReader:
    if layout.samples != 1 or opened.syntax == kinds.EXPLICIT_BIG or layout.allocated == 1:
        return _by_pydicom(opened, layout)
    frames = _whole_buffer(opened, layout, np.dtype(f"<u{layout.allocated // 8}"))
    return lambda index: (to_integers(frames[index], layout), False)


def _whole_buffer(opened: Opened, layout: Layout, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``[frame, row, column]`` of native data, a view."""
    data = opened.data_set[opened.pixels].value
    count = layout.frames * layout.rows * layout.columns
    _check_length(data, count * dtype.itemsize)
    return np.frombuffer(data, dtype, count).reshape(layout.frames, layout.rows, layout.columns)


def _by_pydicom(opened: Opened, layout: Layout) -> FrameReader:
    """Native colour (planes, 4:2:2), big endian (swapped bytes) and single bits, by pydicom's own decoder."""
    data_set = opened.data_set
    syntax = kinds.EXPLICIT_LITTLE if opened.syntax == kinds.DEFLATED else opened.syntax
    decoder = get_decoder(UID(syntax))
    data_set.file_meta = data_set.file_meta if hasattr(data_set, "file_meta") else FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    _check_length(data_set.PixelData, layout.native_size)
    if layout.samples > 1 and values.whole(data_set, "PlanarConfiguration") not in (0, 1):
        raise UnreadableError("PlanarConfiguration is missing, or neither 0 nor 1: colours cannot be told apart")

    def read(index: int) -> tuple[NDArray[Any], bool]:
        array, properties = decoder.as_array(data_set, index=index, raw=True)
        _check_shape(array, layout)
        if layout.allocated > 1:
            array = to_integers(np.ascontiguousarray(array, array.dtype.newbyteorder("=")), layout)
        return array, str(properties["photometric_interpretation"]).startswith("YBR")

    return read


def _check_length(data: bytes, needed: int) -> None:
    """A few bytes, or fewer zeros than pixels, are padding; anything else is a header that does not fit its pixels."""
    length = len(data)
    if length < needed:
        raise UnreadableError("the file holds fewer bytes of pixel data than its sizes need: it was cut short")
    if length - needed > _PADDING and (length >= 2 * needed or data.count(0, needed) < length - needed):
        raise UnreadableError("the file holds more pixel data than its header's sizes explain: correct the header")


def _encapsulated(opened: Opened, layout: Layout) -> FrameReader:
    if layout.high != layout.stored - 1:
        raise UnsupportedError(f"compressed pixels with high bit {layout.high} for {layout.stored} bits stored")
    encoded = _frames(opened, layout)
    if opened.syntax == kinds.RLE:
        ybr = layout.photometric.startswith("YBR")
        return lambda index: (to_integers(decode_rle(encoded[index], layout), layout), ybr)
    return lambda index: _decoded(encoded[index], opened.syntax, layout)


def _frames(opened: Opened, layout: Layout) -> list[bytes]:
    """The compressed frames; as many as the header states, neither more nor fewer, and none of two images."""
    offsets = opened.data_set.get("ExtendedOffsetTable"), opened.data_set.get("ExtendedOffsetTableLengths")
    frames = list(
        generate_fragmented_frames(
            opened.data_set.PixelData,
            number_of_frames=layout.frames,
            extended_offsets=offsets if all(offsets) else None,
        )
    )
    if len(frames) != layout.frames:
        raise UnreadableError(f"the file states {layout.frames} frame(s) and holds {len(frames)}")
    for fragments in frames:
        # pydicom joins what no offset table sets apart; but a further fragment may begin a further image
        if any(opened.syntax == kinds.RLE or part.startswith(_STARTS) for part in fragments[1:]):
            raise UnreadableError(f"the file states {layout.frames} frame(s) and holds more")
    return [b"".join(fragments) for fragments in frames]


def _decoded(data: bytes, syntax: str, layout: Layout) -> tuple[NDArray[Any], bool]:
    if syntax in kinds.JPEG_2000:
        data = codestream_of(data)
    stream = (read_jpeg2000 if syntax in kinds.JPEG_2000 else read_jpeg)(data)
    if stream is None:
        raise UnreadableError("a compressed frame without frame header: the pixel data is damaged")
    _check_claims(stream, layout)
    if stream.precision > layout.allocated:
        raise UnreadableError(
            f"a compressed frame of {stream.precision} bits where the header allocates {layout.allocated}"
        )
    if syntax in kinds.JPEG_DCT | kinds.JPEG_LOSSLESS and not data[-64:].rstrip(b"\0\xff").endswith(_END_OF_IMAGE):
        raise UnreadableError("a compressed frame without its end: the pixel data was cut short")
    array = strict.decode(data, syntax, stream)
    _check_shape(array, layout)
    ybr = layout.photometric.startswith("YBR") if stream.ybr is None or syntax not in kinds.JPEG_DCT else stream.ybr
    if syntax in kinds.JPEG_2000 and layout.photometric in ("YBR_RCT", "YBR_ICT"):
        ybr = False  # the codec has undone the transform of the stream
    return to_integers(array, layout, stream.precision), ybr and layout.samples == 3


def _check_claims(stream: Codestream, layout: Layout) -> None:
    if (stream.rows, stream.columns, stream.components) != (layout.rows, layout.columns, layout.samples):
        raise UnreadableError(
            f"a compressed frame of {stream.rows} x {stream.columns} pixels, {stream.components} component(s), where "
            f"the header states {layout.rows} x {layout.columns}, {layout.samples}"
        )


def _check_shape(array: NDArray[Any], layout: Layout) -> None:
    expected = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, layout.samples)
    if array.shape != expected:
        raise UnreadableError(f"a frame decoded to the shape {array.shape} where the header states {expected}")
