"""The one carrier of options from the command line (or Python) down to the rooms that use them.

Every field has the name and meaning of the option of ``segcli predict``; the report repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Gaps: TypeAlias = Literal["warn", "error"]
DicomSeg: TypeAlias = Literal["binary", "labelmap"]
PngMask: TypeAlias = Literal["palette", "grey"]


MAX_TILES = 2**16
"""Of a batch."""


@dataclass(frozen=True)
class PredictSettings:
    """Options of one run.

    ``overlap``: share of the tile, 0-0.75, or None for the card's pixels. ``gate``: ``auto``, ``off`` or a threshold
    for every label. ``memory``: bytes of read-ahead and accumulators. ``max_pixels``: what may be held in memory of
    one image. ``spacing``: mm (rows, columns[, slices]), used only for sources that state none.
    ``case_timeout``: seconds of a case's own reading and inference, or None. ``settle``: seconds a file must be old.
    """

    device: str = "auto"
    precision: Precision = "auto"
    batch: int | None = None
    overlap: float | None = None
    gate: Literal["auto", "off"] | float = "auto"
    memory: int = 2 * 1024**3
    max_pixels: int = 500_000_000
    select: tuple[tuple[str, str], ...] = ()
    any_modality: bool = False
    any_scope: bool = False
    gaps: Gaps = "warn"
    strict: bool = False
    spacing: tuple[float, ...] | None = None
    channel: str | None = None
    follow_links: bool = False
    settle: float = 0.0
    dicom_seg: DicomSeg = "binary"
    dicom_deflate: bool = False
    png_mask: PngMask = "palette"
    private: bool = False
    overwrite: bool = False
    rebuild: bool = False
    retry_failed: bool = False
    verify: bool = False
    case_timeout: float | None = None
    shard: tuple[int, int] | None = None

    def to_report(self) -> Mapping[str, Any]:
        """The settings as the report shows them; of ``select`` the keys only, for its values are header values."""
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        shown["select"] = sorted({key for key, _ in self.select})
        return shown
