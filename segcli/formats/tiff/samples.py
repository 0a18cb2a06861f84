"""What the numbers of a TIFF page mean: photometric interpretation, palettes and alpha, by TIFF 6.0."""

from __future__ import annotations

from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.pixels import RGB, drop_opaque_alpha

_PHOTOMETRIC = tifffile.PHOTOMETRIC
_NAMES = {
    _PHOTOMETRIC.SEPARATED: "print colours (CMYK)",
    _PHOTOMETRIC.CIELAB: "CIE L*a*b* colours",
    _PHOTOMETRIC.ICCLAB: "ICC L*a*b* colours",
    _PHOTOMETRIC.ITULAB: "ITU L*a*b* colours",
    _PHOTOMETRIC.CFA: "raw camera sensor data (CFA)",
    _PHOTOMETRIC.LINEAR_RAW: "raw camera data",
    _PHOTOMETRIC.LOGL: "LogL high dynamic range data",
    _PHOTOMETRIC.LOGLUV: "LogLuv high dynamic range data",
    _PHOTOMETRIC.MASK: "a transparency mask",
    _PHOTOMETRIC.DEPTH_MAP: "a depth map",
    _PHOTOMETRIC.SEMANTIC_MASK: "a mask of a camera",
}
_READ = frozenset(
    {_PHOTOMETRIC.MINISWHITE, _PHOTOMETRIC.MINISBLACK, _PHOTOMETRIC.RGB, _PHOTOMETRIC.PALETTE, _PHOTOMETRIC.YCBCR}
)
_REFUSED = {
    tifffile.COMPRESSION.OJPEG: "old-style JPEG (OJPEG), which decoders read differently",
    tifffile.COMPRESSION.APERIO_JP2000_YCBC: "JPEG 2000 of YCbCr colours (Aperio 33003)",
}
_DECODED_TO_RGB = frozenset(
    {
        tifffile.COMPRESSION.JPEG,
        tifffile.COMPRESSION.ALT_JPEG,
        tifffile.COMPRESSION.JPEG_LOSSY,
        tifffile.COMPRESSION.WEBP,
    }
)
_PREDICTED = frozenset(
    {
        tifffile.COMPRESSION.LZW,
        tifffile.COMPRESSION.ADOBE_DEFLATE,
        tifffile.COMPRESSION.DEFLATE,
        tifffile.COMPRESSION.PIXTIFF,
        tifffile.COMPRESSION.LZMA,
        tifffile.COMPRESSION.ZSTD,
        tifffile.COMPRESSION.ZSTD_DEPRECATED,
    }
)
"""Those with which libtiff applies a predictor; with others it passes over the tag, tifffile does not."""

_TRANSPARENCY = frozenset({tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA})


def check_page(page: Any) -> None:
    """Raise UnsupportedError for a page whose samples are no intensities, by its tags alone."""
    if page.compression in _REFUSED:
        raise UnsupportedError(f"the TIFF is compressed as {_REFUSED[page.compression]}: convert it first")
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise UnsupportedError(
            f"the TIFF is compressed in a way no decoder here reads (number {int(page.compression)}): convert it first"
        )
    if page.predictor not in (1, None) and page.compression not in _PREDICTED:
        raise UnsupportedError(
            "the TIFF states a predictor that its compression does not have (decoders differ): save it again"
        )
    if page.tags.get("PhotometricInterpretation") is None:
        raise UnreadableError("the TIFF does not say whether 0 is black or white: save it again")
    if page.photometric not in _READ:
        what = _NAMES.get(page.photometric, "colours of an unknown kind")
        raise UnsupportedError(f"the TIFF holds {what}: convert it to grey or RGB first")
    if page.photometric == _PHOTOMETRIC.YCBCR and page.compression not in _DECODED_TO_RGB and _is_subsampled(page):
        raise UnsupportedError("the TIFF holds YCbCr colours with fewer samples of Cb and Cr: convert it to RGB first")
    check_type(page.dtype)


def check_type(dtype: np.dtype[Any] | None) -> None:
    """Raise UnsupportedError for samples that are no real numbers."""
    if dtype is None or dtype.kind not in "buif":
        kind = "complex numbers" if dtype is not None and dtype.kind == "c" else "samples of an unknown type"
        raise UnsupportedError(f"the TIFF holds {kind}: convert it to integers or floats first")


def intensities(planes: NDArray[Any], page: Any) -> tuple[NDArray[Any], tuple[str, ...]]:
    """``[plane, sample, row, column]`` as stored → ``[plane, channel, row, column]`` with its channel names.

    MINISWHITE is turned round (largest number - x; signed: -1 - x), a palette becomes 16-bit RGB, an opaque alpha
    channel goes. 1-bit images are 0 and 1. Raises UnsupportedError for colours that are no intensities.
    """
    check_page(page)
    if planes.dtype.kind == "b":
        planes = planes.view(np.uint8)
    photometric = page.photometric
    if photometric == _PHOTOMETRIC.PALETTE:
        return _through_palette(_without_alpha(planes, page)[0], page), RGB
    if photometric == _PHOTOMETRIC.YCBCR and page.compression not in _DECODED_TO_RGB:
        planes = _ycbcr_to_rgb(planes, page)
    elif photometric == _PHOTOMETRIC.MINISWHITE:
        planes = _inverted(planes, page)
    planes, alpha = _without_alpha(planes, page)
    colors = photometric in (_PHOTOMETRIC.RGB, _PHOTOMETRIC.YCBCR)
    names: list[str] = list(RGB) if colors and planes.shape[1] >= 3 else []
    names += [str(number) for number in range(len(names), planes.shape[1])]
    if not colors and planes.shape[1] == 1 and not alpha:
        names = ["grey"]
    return planes, tuple(names)


def _through_palette(planes: NDArray[Any], page: Any) -> NDArray[Any]:
    colormap = page.colormap
    if colormap is None or colormap.ndim != 2 or colormap.shape[0] != 3 or planes.shape[1] != 1:
        raise UnreadableError("the TIFF's palette is missing or damaged: export it again")
    if int(planes.max(initial=0)) >= colormap.shape[1]:
        raise UnreadableError("the TIFF uses colours that its palette does not have: export it again")
    colors: NDArray[Any] = np.moveaxis(colormap[:, planes[:, 0]], 0, 1)
    return np.ascontiguousarray(colors)


def _inverted(planes: NDArray[Any], page: Any) -> NDArray[Any]:
    if planes.dtype.kind == "f":
        raise UnsupportedError("the TIFF holds floats with white as 0 (MINISWHITE): store them with black as 0")
    if planes.dtype.kind == "i":
        return np.asarray(np.invert(planes))
    return np.asarray(planes.dtype.type(2 ** int(page.bitspersample) - 1) - planes)


def _without_alpha(planes: NDArray[Any], page: Any) -> tuple[NDArray[Any], bool]:
    extras = tuple(page.extrasamples)
    at = [planes.shape[1] - len(extras) + i for i, extra in enumerate(extras) if extra in _TRANSPARENCY]
    if not at or planes.shape[1] == 1:
        return planes, False
    if len(at) > 1:
        raise UnsupportedError("the TIFF has several alpha channels: flatten it first")
    order = [i for i in range(planes.shape[1]) if i != at[0]] + at
    opaque = 1.0 if planes.dtype.kind == "f" else float(2 ** int(page.bitspersample) - 1)
    return drop_opaque_alpha(planes[:, order], opaque), True


def _ycbcr_to_rgb(planes: NDArray[Any], page: Any) -> NDArray[Any]:
    """Rec. 601, full range, rounded; the coefficients of TIFF 6.0, section 21, with its defaults."""
    if planes.dtype != np.uint8 or planes.shape[1] < 3 or not _full_range(page):
        raise UnsupportedError("the TIFF holds YCbCr colours of an unusual kind: convert it to RGB first")
    luma, blue, red = (planes[:, i].astype(np.float32) for i in range(3))
    red, blue = red - 128, blue - 128
    rgb = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    out = planes.copy()
    for i, color in enumerate(rgb):
        out[:, i] = np.clip(np.rint(color), 0, 255)
    return out


def _is_subsampled(page: Any) -> bool:
    tag = page.tags.get("YCbCrSubSampling")
    return tag is not None and tuple(tag.value) != (1, 1)


def _full_range(page: Any) -> bool:
    tag = page.tags.get("ReferenceBlackWhite")
    return tag is None or tuple(tag.value) == (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)
