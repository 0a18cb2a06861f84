"""What the headers of DICOM files say, as the scan, the reader and the writer hold it. Imports no pydicom.

Records cross from a reader process as JSON; unknown or missing fields are an error there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeAlias

from segcli.image import Json, Vector

Cosines: TypeAlias = tuple[float, float, float, float, float, float]
"""Direction of the rows, then of the columns (Image Orientation Patient)."""

TimeValue: TypeAlias = float | str
"""A value that sorts in time: a number where it is one, else text."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Where and when a frame was taken (PS3.3 C.7.6.2, C.7.6.16), in mm; None where its header does not say.

    ``position``: of the centre of pixel (0, 0). ``pixel_spacing``: between rows, between columns. ``times``: by
    keyword, what may tell time points apart. ``frame_type``: image type of this frame alone. ``malformed``: keyword of
    an element that says something which is not what it should be (a decimal comma, two numbers of three).
    """

    position: Vector | None = None
    orientation: Cosines | None = None
    pixel_spacing: tuple[float, float] | None = None
    slice_thickness: float | None = None
    spacing_between_slices: float | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    times: Mapping[str, TimeValue] = field(default_factory=dict)
    frame_type: str | None = None
    malformed: str | None = None

    @property
    def place(self) -> tuple[Vector, Cosines] | None:
        """Position and orientation, if it states both."""
        return None if self.position is None or self.orientation is None else (self.position, self.orientation)

    def to_json(self) -> Json:
        """The fields in their order, without names: a file may have 100,000 planes."""
        return [getattr(self, name) for name in _PLANE_FIELDS]

    @staticmethod
    def from_json(value: Json) -> Plane:
        """Inverse of :meth:`to_json`."""
        stated = dict(zip(_PLANE_FIELDS, value, strict=True))
        for name in ("position", "orientation", "pixel_spacing"):
            if stated[name] is not None:
                stated[name] = tuple(stated[name])
        return Plane(**stated)


_PLANE_FIELDS = tuple(item.name for item in fields(Plane))


@dataclass(frozen=True, slots=True)
class Instance:
    """What grouping must know of one file.

    ``modality``: a defined term, or ``?`` for any other word. ``patient``: ID and its issuer. ``image_type``: values
    joined by backslash. ``planes``: one per frame; a single one without position if ``is_cine``.
    ``frames_described``: how many frames functional groups describe, None if there are none. ``is_dated``: whether any
    date is usable. ``selected``: values of the elements that ``--select`` asks for, by keyword. ``notes``: reduced
    library warnings. ``fault``: why it cannot be decoded although it belongs to a series.
    """

    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    frame_of_reference_uid: str | None
    modality: str | None
    body_part: str
    patient: str
    image_type: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    is_float: bool
    is_dated: bool
    is_cine: bool
    has_modality_lut: bool
    has_detector_spacing: bool
    frames_described: int | None
    planes: tuple[Plane, ...]
    selected: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def is_colour(self) -> bool:
        """Whether its pixels come out as R, G, B."""
        return self.samples != 1 or self.photometric == "PALETTE COLOR"

    def to_json(self) -> Json:
        """The fields by name."""
        stated = {name: getattr(self, name) for name in _INSTANCE_FIELDS}
        return stated | {"planes": [plane.to_json() for plane in self.planes]}

    @staticmethod
    def from_json(value: Json) -> Instance:
        """Inverse of :meth:`to_json`."""
        if value.keys() != _ALL_INSTANCE_FIELDS:
            raise ValueError("a record of an instance with other fields")
        planes = tuple(Plane.from_json(plane) for plane in value["planes"])
        selected = {keyword: tuple(found) for keyword, found in value["selected"].items()}
        return Instance(**{**value, "planes": planes, "selected": selected, "notes": tuple(value["notes"])})


_INSTANCE_FIELDS = tuple(item.name for item in fields(Instance))
_ALL_INSTANCE_FIELDS = frozenset(_INSTANCE_FIELDS)
