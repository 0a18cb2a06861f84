"""Decoding compressed frames so that damage is noticed as far as a stream can tell of it.

JPEG and JPEG 2000 carry no checksums, and their decoders return an image of whatever they are given. What gives damage
away is that the packed bits no longer come out even: a scan ends before or behind its last pixel, a code block leaves
bytes unread. Decoders see that and only warn; here a warning is a failure. A change that leaves a valid stream of the
same length cannot be noticed by anybody.
"""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from segcli.errors import CaseError, UnreadableError
from segcli.formats.dicom import kinds
from segcli.formats.dicom.codestream import Codestream
from segcli.formats.jpeg.stream import check_stream
from segcli.formats.jpeg_2000 import CodestreamError, decode_strictly


def decode(data: bytes, syntax: str, stream: Codestream) -> NDArray[Any]:
    """``[row, column]`` or ``[row, column, sample]`` of a frame.

    Raises UnreadableError for a stream that is damaged or of which a decoder says so.
    """
    try:
        if syntax in kinds.JPEG_2000:
            return decode_strictly(data, "compressed frame")
        if syntax in kinds.JPEG_LS:  # CharLS itself refuses a scan that does not end with its pixels
            return np.asarray(imagecodecs.jpegls_decode(data))
        return _jpeg(data, syntax, stream)
    except CaseError:
        raise
    except CodestreamError as error:
        raise UnreadableError(f"a compressed frame is damaged ({error}): export the series again") from None
    except Exception as error:  # noqa: BLE001 - the codecs raise errors of their own for damaged streams
        raise UnreadableError(f"a compressed frame cannot be decoded ({type(error).__name__})") from None


def _jpeg(data: bytes, syntax: str, stream: Codestream) -> NDArray[Any]:
    check_stream(data, "compressed frame")
    if stream.components == 3:  # the same colour space in and out: no transform, whatever the markers say
        return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="YCBCR"))
    array = np.asarray(imagecodecs.jpeg8_decode(data))
    if syntax in kinds.JPEG_LOSSLESS and int(array.max()) >> stream.precision:
        # One wrong difference is carried on to all that follows, and soon leaves the range.
        raise UnreadableError("a compressed frame holds values of more bits than it states: it is damaged")
    return array
