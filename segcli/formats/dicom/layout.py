"""How the pixels of an instance are stored (PS3.3 C.7.6.3), checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.dicom import values

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})


_WIDTHS = "segcli reads 1, 8, 16 and 32 (64 for floating point)"
_BITS = ("BitsAllocated", "BitsStored", "PixelRepresentation")


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels and bits. ``signed``: stored values are two's complement."""

    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str

    @property
    def colour(self) -> bool:
        """Whether pixels come out as R, G, B."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"

    @property
    def native_size(self) -> int:
        """Bytes of all frames, not compressed."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return (self.rows * self.columns * self.frames * samples * self.allocated + 7) // 8

    @property
    def monochrome1(self) -> bool:
        """Whether small values mean bright."""
        return self.photometric == "MONOCHROME1"


def layout_of(data_set: Dataset, pixels: str) -> Layout:
    """Read and check; ``pixels``: keyword of the pixel-data element.

    Raises UnreadableError (contradictions, and what we would have to guess), UnsupportedError (refused by name).
    """
    _check_stated(data_set, pixels)
    allocated = values.whole(data_set, "BitsAllocated") or 0
    stored = values.whole(data_set, "BitsStored") or allocated
    high = values.whole(data_set, "HighBit")
    layout = Layout(
        rows=values.whole(data_set, "Rows") or 0,
        columns=values.whole(data_set, "Columns") or 0,
        frames=_frames(data_set),
        samples=values.whole(data_set, "SamplesPerPixel") or 1,
        allocated=allocated,
        stored=stored,
        high=stored - 1 if high is None else high,
        signed=values.whole(data_set, "PixelRepresentation") == 1,
        photometric=(values.text(data_set, "PhotometricInterpretation") or "").upper(),
    )
    if layout.rows <= 0 or layout.columns <= 0:
        raise UnreadableError("rows or columns are missing")
    if allocated not in (1, 8, 16, 32, 64):
        raise UnsupportedError(f"{allocated} bits allocated: {_WIDTHS}")
    if allocated == 64 and pixels == "PixelData":
        raise UnsupportedError(f"64 bits allocated for whole numbers: {_WIDTHS}")
    if not 1 <= stored <= allocated or not stored - 1 <= layout.high < allocated:
        raise UnreadableError(f"bits stored {stored} and high bit {layout.high} do not fit {allocated} bits allocated")
    if layout.samples not in (1, 3):
        raise UnsupportedError(f"{layout.samples} samples per pixel: segcli reads 1 and 3")
    if layout.photometric not in (_GREY if layout.samples == 1 else _COLOUR):
        known = sorted(_GREY if layout.samples == 1 else _COLOUR)
        raise UnsupportedError(
            f"{layout.samples} sample(s) per pixel with a photometric interpretation other than {', '.join(known)}"
        )
    return layout


def _check_stated(data_set: Dataset, pixels: str) -> None:
    """All type 1: how many bits, signed or not, small values dark or bright. A guess is a plausible wrong image."""
    needed = _BITS if pixels == "PixelData" else _BITS[:1]  # floating-point pixels have a sign and all their bits
    missing = [keyword for keyword in needed if values.whole(data_set, keyword) is None]
    if values.text(data_set, "PhotometricInterpretation") is None:
        missing.append("PhotometricInterpretation")
    if missing:
        raise UnreadableError(f"{missing[0]} is missing: the pixels cannot be read without it")
    if values.whole(data_set, "PixelRepresentation") not in (None, 0, 1):
        raise UnreadableError("PixelRepresentation is neither 0 nor 1: are its pixels signed?")


def _frames(data_set: Dataset) -> int:
    """1 where nothing is stated, or 0, as some write for a still image."""
    if values.is_empty(data_set, "NumberOfFrames"):
        return 1
    stated = values.number(data_set, "NumberOfFrames")
    if stated is None or stated < 0 or stated != int(stated):
        raise UnreadableError("NumberOfFrames is no whole number: correct the header")
    return max(1, int(stated))
