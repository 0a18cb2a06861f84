"""JPEG, read only: turned as its EXIF orientation says, the mask is a PNG in that same (viewed) frame.

Decoded by imagecodecs (libjpeg-turbo; 8, 12 and 16 bit). JPEG has no checksums: damage inside the entropy-coded data
cannot always be told from a picture, but a file of which libjpeg as much as warns is refused.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from segcli.case import Case
from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.decoding import decoding, refuse_gzip
from segcli.formats.exif import as_viewed, exif_orientation, transposes
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.jpeg import FORMAT
from segcli.formats.jpeg.stream import FRAMES, SOS, Frame, check_stream, no_header, segments
from segcli.formats.limits import MASK_PIXELS, check_pixels
from segcli.formats.pixels import RGB, reconcile
from segcli.formats.png import codec as png
from segcli.image import Image, LabelMap
from segcli.regular_file import open_regular

_APP0, _APP1 = 0xE0, 0xE1

_MOSTLY_ENOUGH = 2**20
"""Bytes within which the header of nearly every file ends."""

_BESIDE_PIXELS = 2**25
"""Bytes of a file that may be something else: profiles, thumbnails, a clip behind the picture."""

_BYTES_OF_A_SAMPLE = 8
"""Bytes that a sample takes at most; it takes four in the worst code there is."""


@dataclass(frozen=True)
class Header:
    """What stands before the pixel data. ``phys``: resolution as a PNG states it (x, y, unit), in the stored frame."""

    frame: Frame
    orientation: int
    phys: tuple[int, int, int] | None

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return 2 if self.frame.precision > 8 else 1

    @property
    def viewed_shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns as a viewer shows them."""
        if transposes(self.orientation):
            return 1, self.frame.columns, self.frame.rows
        return 1, self.frame.rows, self.frame.columns


def describe(path: Path) -> Description:
    """Size as viewed; JPEG states no spacing (its dpi are none)."""
    return Description(shape=_header_of(path)[0].viewed_shape)


def read(case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
    """One part of one slice, as viewed; uint8 (uint16 above 8 bit), or float32 where grey is made from RGB."""
    stated, size = _header_of(case.files[0])
    frame = stated.frame
    if frame.components not in (1, 3):
        raise UnsupportedError("the JPEG is CMYK (print colours): convert it to RGB or grey first")
    check_pixels(frame.rows * frame.columns, frame.components, request.max_pixels, itemsize=stated.itemsize)
    if size > _BESIDE_PIXELS + _BYTES_OF_A_SAMPLE * frame.rows * frame.columns * frame.components:
        raise UnreadableError("the JPEG holds far more bytes than its pixels can need: save it again")
    with decoding("JPEG"):
        data = files.read(case.files[0])
    check_stream(data)
    with decoding("JPEG"):
        pixels = imagecodecs.jpeg_decode(data)
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    pixels = as_viewed(pixels, stated.orientation)[np.newaxis]
    if pixels.shape[-2:] != stated.viewed_shape[1:]:
        raise UnreadableError("the JPEG holds another size than its header states: export it again")
    phys = stated.phys
    if phys is not None and transposes(stated.orientation):
        phys = (phys[1], phys[0], phys[2])
    names = RGB if frame.components == 3 else ("grey",)
    return ReadResult((Image(reconcile(pixels, names, request), extra={"phys": phys and list(phys)}),))


def write(target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
    """A PNG mask, see :mod:`segcli.formats.png`."""
    png.write_png_mask(target, masks[0], request)


def read_labels(path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
    """The PNG mask of a JPEG. A JPEG itself is refused: lossy compression keeps no label numbers."""
    with decoding("PNG mask"), open_regular(path) as stream:
        head = stream.read(3)
    if FORMAT.recognises(head):
        raise UnsupportedError("a JPEG holds no exact label numbers: use a PNG, TIFF or volume as label map")
    return png.read_labels(path, max_pixels)


def _header_of(path: Path) -> tuple[Header, int]:
    """Of the start of a file, or all of it where that is not enough; and the file's bytes."""
    with decoding("JPEG"), open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(_MOSTLY_ENOUGH)
        try:
            return _header(data), size
        except UnreadableError:
            return _header(data + stream.read(_BESIDE_PIXELS)), size


def _header(data: bytes) -> Header:
    """Raises UnreadableError without a frame header and a scan behind it."""
    refuse_gzip(data, "JPEG")
    orientations, phys = set(), None
    frame: Frame | None = None
    for segment in segments(data):
        marker, payload = segment.marker, data[segment.start : segment.stop]
        if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 12:
            phys = _density(*struct.unpack(">BHH", payload[7:12]))
        elif marker == _APP1 and payload.startswith(b"Exif\0\0"):
            orientations.add(exif_orientation(payload[6:]))
        elif marker in FRAMES and frame is None:
            frame = Frame.of(data, segment)
        elif marker == SOS and frame is not None and frame.is_whole:
            if len(orientations) > 1:
                raise UnsupportedError("the JPEG's EXIF data state two orientations: save it again")
            return Header(frame, max(orientations, default=1), phys)
    raise no_header("JPEG")


def _density(unit: int, x: int, y: int) -> tuple[int, int, int] | None:
    """JFIF density (0: aspect ratio, 1: per inch, 2: per cm) as PNG's pHYs; None if it says nothing."""
    if not x or not y or unit > 2 or (unit == 0 and x == y):
        return None
    per_metre = {0: 1.0, 1: 1 / 0.0254, 2: 100.0}[unit]
    return round(x * per_metre), round(y * per_metre), int(unit != 0)
