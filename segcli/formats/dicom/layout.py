"""How the pixels of an instance are stored (PS3.3 C.7.6.3), checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.dicom import values

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})


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


def layout_of(data_set: Dataset) -> Layout:
    """Read and check. Raises UnreadableError (contradictions), UnsupportedError (layouts we refuse by name)."""
    allocated = values.whole(data_set, "BitsAllocated") or 0
    stored = values.whole(data_set, "BitsStored") or allocated
    high = values.whole(data_set, "HighBit")
    layout = Layout(
        rows=values.whole(data_set, "Rows") or 0,
        columns=values.whole(data_set, "Columns") or 0,
        frames=max(1, values.whole(data_set, "NumberOfFrames") or 1),
        samples=values.whole(data_set, "SamplesPerPixel") or 1,
        allocated=allocated,
        stored=stored,
        high=stored - 1 if high is None else high,
        signed=values.whole(data_set, "PixelRepresentation") == 1,
        photometric=(values.text(data_set, "PhotometricInterpretation") or "MONOCHROME2").upper(),
    )
    if layout.rows <= 0 or layout.columns <= 0:
        raise UnreadableError("rows or columns are missing")
    if allocated not in (1, 8, 16, 32, 64):
        raise UnsupportedError(f"{allocated} bits allocated: segcli reads 1, 8, 16 and 32 (64 for floating point)")
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
