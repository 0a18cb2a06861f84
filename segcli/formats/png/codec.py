"""PNG: every bit depth and colour type in, indexed or grey masks out.

Decoded by imagecodecs (libpng), because Pillow silently turns 16-bit RGB into 8 bit. Grey of 1, 2 and 4 bits is spread
over 0-255 as the standard asks of viewers; gamma and colour profiles are ignored knowingly: intensities are what the
file stores. Palette images are read as the colours they show; as label maps, palette indices stay indices.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from segcli.case import Case
from segcli.errors import UnsupportedError
from segcli.formats.decoding import decoding, refuse_gzip
from segcli.formats.exif import exif_orientation
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.labels import MAX_INDEX, color_table, fits_palette
from segcli.formats.limits import MASK_PIXELS, check_mask, check_pixels
from segcli.formats.pixels import RGB, drop_opaque_alpha, reconcile
from segcli.formats.png import chunks as png_chunks
from segcli.formats.png.check import check_file, check_palette
from segcli.image import Image, LabelMap
from segcli.regular_file import open_regular, read_regular

_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
"""Chunks of APNG, over which libpng stumbles where they are damaged; the first frame needs none of them."""


def describe(path: Path) -> Description:
    """Size from IHDR alone; a PNG states no spacing (its dpi are none)."""
    with decoding("PNG"), open_regular(path) as stream:
        head = stream.read(png_chunks.HEADER_SIZE)
    refuse_gzip(head, "PNG")
    stated = png_chunks.header(head)
    return Description(shape=(1, stated.rows, stated.columns))


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """One part of one slice; uint8 or uint16, or float32 where grey is made from RGB."""
    with decoding("PNG"):
        data = files.read(case.files[0])
    refuse_gzip(data, "PNG")
    stated = png_chunks.header(data)
    check_pixels(stated.rows * stated.columns, stated.channels, request.max_pixels, itemsize=stated.itemsize)
    warnings = _animation_warning(data)
    still = png_chunks.without(data, _ANIMATION) if warnings else data
    check_file(still, stated)
    _refuse_turned(still)
    with decoding("PNG"):
        if stated.color == png_chunks.PALETTE:
            check_palette(int(_indices(still, stated).max(initial=0)), still)
        pixels = _channels_first(imagecodecs.png_decode(still))
    if pixels.shape[1] in (2, 4):
        pixels = drop_opaque_alpha(pixels, np.iinfo(pixels.dtype).max)
    names = RGB if pixels.shape[1] == 3 else ("grey",)
    image = Image(reconcile(pixels, names, request), extra={"phys": _resolution(data)})
    return ReadResult((image,), warnings)


def write(target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
    """Indexed PNG (index = label number), or grey where the settings or numbers above 255 ask for it."""
    write_png_mask(target, masks[0], request)


def read_labels(path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
    """Palette indices or grey values as numbers (not spread over 0-255), uint8 or uint16.

    Raises UnsupportedError for a colour image: colours are no label numbers.
    """
    with decoding("PNG mask"):
        data = read_regular(path)
    stated = png_chunks.header(data)
    if stated.color not in (png_chunks.GREY, png_chunks.PALETTE):
        raise UnsupportedError("the PNG is no label map: it holds colours or transparency, not label numbers")
    check_mask(stated.rows * stated.columns, stated.itemsize, max_pixels)
    check_file(png_chunks.without(data, _ANIMATION), stated)
    _refuse_turned(data)
    with decoding("PNG mask"):
        labels = _indices(data, stated)
    return (LabelMap(labels[np.newaxis]),)


def write_png_mask(target: Path, mask: LabelMap, request: MaskRequest) -> None:
    """Write the single slice of ``mask``; ``mask.extra["phys"]`` is (x, y, unit) of its pHYs chunk, or None.

    Raises OSError if the file cannot be written.
    """
    if mask.pixels.shape[0] != 1:
        raise ValueError("a PNG holds one slice")
    labels = np.ascontiguousarray(mask.pixels[0])
    phys = mask.extra.get("phys")
    extra = b"" if phys is None else png_chunks.chunk(b"pHYs", struct.pack(">IIB", *phys))
    color = png_chunks.GREY
    if fits_palette(request.card.labels) and int(labels.max(initial=0)) <= MAX_INDEX:
        labels = labels.astype(np.uint8)
        if request.settings.png_mask == "palette":
            color = png_chunks.PALETTE
            extra = png_chunks.chunk(b"PLTE", color_table(request.card.labels)) + extra
    else:
        labels = labels.astype(np.uint16)
    target.write_bytes(png_chunks.retyped(bytes(imagecodecs.png_encode(labels)), color, extra))


def _indices(data: bytes, stated: png_chunks.Header) -> NDArray[Any]:
    """Palette indices or grey values as stored, ``[row, column]``.

    Under the grey colour type libpng hands over the stored numbers of a palette image as well.
    """
    grey = png_chunks.retyped(data, png_chunks.GREY, without=(b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT"))
    numbers: NDArray[Any] = imagecodecs.png_decode(grey)
    return numbers // (255 // (2**stated.depth - 1)) if stated.depth < 8 else numbers


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """``[row, column(, channel)]`` → ``[1, channel, row, column]``."""
    if pixels.ndim == 2:
        return pixels[np.newaxis, np.newaxis]
    return np.moveaxis(pixels, 2, 0)[np.newaxis]


def _resolution(data: bytes) -> list[int] | None:
    """Pixels per unit along x and y, and the unit (1: metre, 0: unknown); None if not stated before the pixels."""
    for kind, payload in png_chunks.chunks(data):
        if kind == b"pHYs" and len(payload) == 9:
            return list(struct.unpack(">IIB", payload))
        if kind == b"IDAT":
            break
    return None


def _refuse_turned(data: bytes) -> None:
    """Some programs heed the orientation in the EXIF data of a PNG, most do not: the mask would lie right for a few."""
    if any(
        kind == b"eXIf" and exif_orientation(payload.removeprefix(b"Exif\0\0")) != 1
        for kind, payload in png_chunks.chunks(data)
    ):
        raise UnsupportedError("the PNG's EXIF data say that it is to be turned, which few programs do: save it turned")


def _animation_warning(data: bytes) -> tuple[str, ...]:
    for kind, _ in png_chunks.chunks(data):
        if kind == b"acTL":
            return ("the PNG is animated: only its first frame is segmented",)
        if kind == b"IDAT":
            break
    return ()
