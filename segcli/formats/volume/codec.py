"""NRRD and MetaImage (MHA, and MHD with its raw file): a text header of our own reading, and plain numbers.

No library reads these files: each has its own idea of where a line ends and which name counts, and opens what it finds
there. The space is ours: Left, Posterior, Superior. A mask repeats the source's own geometry lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcli.case import Case
from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.decoding import decoding, refuse_gzip
from segcli.formats.interface import Description, InputFiles, MaskRequest, ReadRequest, ReadResult
from segcli.formats.labels import as_labels, label_type
from segcli.formats.limits import MASK_PIXELS, check_channels, check_mask, check_pixels, check_slices
from segcli.formats.pixels import hide_non_finite, reconcile
from segcli.formats.volume.data import voxels
from segcli.formats.volume.header import LONGEST, VolumeHeader
from segcli.formats.volume.meta import meta_header, meta_mask
from segcli.formats.volume.nrrd import nrrd_header, nrrd_mask
from segcli.geometry import shear_warnings
from segcli.image import Image, LabelMap
from segcli.regular_file import open_regular, read_regular


@dataclass(frozen=True)
class TextHeaderCodec:
    """Reads and writes one of the two; see the two objects at the end.

    ``what``: word in messages. ``mask``: header lines, sizes, labels and whether these are uint16 → a mask file.
    """

    what: str
    header: Callable[[bytes], VolumeHeader]
    mask: Callable[[Sequence[str], Sequence[int], bytes, bool], bytes]

    def describe(self, path: Path) -> Description:
        """Sizes and geometry from the header. ``companions``: the data file beside it, if there is one."""
        with decoding(self.what):
            with open_regular(path) as stream:
                header = self._header(stream.read(LONGEST))
            companions = [] if header.companion is None else [header.companion]
            if not all((path.parent / name).is_file() for name in companions):
                raise UnreadableError(f"the data file that belongs to the {self.what} header is missing")
            columns, rows, slices, times = header.sides
            geometry = header.geometry(1)  # a hostile header may announce any number of slices
        spacing: tuple[float, ...] | None = geometry.spacing
        if spacing is not None and geometry.slice_spacing is not None:
            spacing = (*spacing, geometry.slice_spacing)
        return Description(
            shape=(slices * times, rows, columns),
            spacing=spacing,
            orientation=geometry.orientation,
            companions=tuple(companions),
        )

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """One part per time point (fourth axis), in the stored type; vector components are channels."""
        with decoding(self.what):
            path = case.files[0]
            data = files.read(path)
            header = self._header(data)
            payload = memoryview(data)[header.data_at :]
            if header.companion is not None:
                payload = memoryview(files.read(path.parent / header.companion))
            columns, rows, slices, times = header.sides
            check_channels(header.components)
            check_slices(slices * times, len(payload), request.max_pixels)
            check_pixels(
                columns * rows * slices * times, header.components, request.max_pixels, itemsize=header.dtype.itemsize
            )
            geometry = header.geometry(slices)
            names = tuple(str(number) for number in range(header.components))
            sheared = shear_warnings(geometry, request.spatial_dims)
            stored = voxels(header, payload, self.what)
            pixels, valid, warnings = hide_non_finite(reconcile(stored, names, request))
        notes = {"lines": list(header.lines), "axes": len(header.sizes)}
        parts = []
        for time in range(times):
            here = slice(time * slices, (time + 1) * slices)
            parts.append(Image(pixels[here], geometry, None if valid is None else valid[here], notes))
        return ReadResult(tuple(parts), (*sheared, *warnings))

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """A compressed file with the source's own geometry lines; uint8, or uint16 for labels above 255."""
        largest = max(label.value for label in request.card.labels)
        dtype = np.dtype(label_type(max([largest, *(int(mask.pixels.max(initial=0)) for mask in masks)])))
        data = b"".join(mask.pixels.astype(dtype.newbyteorder("<")).tobytes() for mask in masks)
        slices, rows, columns = masks[0].pixels.shape
        lines, axes = masks[0].extra.get("lines", ()), int(masks[0].extra.get("axes", 3))
        sizes = (columns, rows, slices, len(masks))[:axes]
        target.write_bytes(self.mask(lines, sizes, data, dtype.itemsize == 2))

    def read_labels(self, path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
        """Label numbers, one map per time point. Raises UnsupportedError for vectors and numbers that are no labels."""
        with decoding(f"{self.what} mask"):
            data = read_regular(path)
            header = self._header(data)
            payload = memoryview(data)[header.data_at :]
            if header.companion is not None:
                payload = memoryview(read_regular(path.parent / header.companion, follow_links=False))
            if header.components != 1:
                raise UnsupportedError(f"the {self.what} is no label map: its voxels have several components")
            check_mask(header.count, header.dtype.itemsize, max_pixels)
            _, _, slices, times = header.sides
            labels = as_labels(voxels(header, payload, self.what)[:, 0])
            geometry = header.geometry(slices)
        return tuple(LabelMap(labels[t * slices : (t + 1) * slices], geometry) for t in range(times))

    def _header(self, data: bytes) -> VolumeHeader:
        refuse_gzip(data, self.what)
        return self.header(data)


NRRD_CODEC = TextHeaderCodec("NRRD volume", nrrd_header, nrrd_mask)
MHA_CODEC = TextHeaderCodec("MetaImage", meta_header, meta_mask)
