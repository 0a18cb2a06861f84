"""What the headers of DICOM files say, as scan, reader and writer hold it. Imports no pydicom.

Records cross between processes as JSON; unknown or missing fields are an error there. Planes and instances, of which
there may be 100,000, cross without the names of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from segcli.case import Case, Details, exact_fields, exact_values
from segcli.image import Geometry, Json, Vector

Cosines: TypeAlias = tuple[float, float, float, float, float, float]
"""Direction of the rows, then of the columns (Image Orientation Patient)."""

FrameSource: TypeAlias = tuple[str, int]
"""SOP instance UID and frame number (0: the only frame) of the slice that a frame of a mask was drawn on."""

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
        """The values of the fields in their order."""
        return list(_values_of_plane(self))

    @staticmethod
    def from_json(value: Json) -> Plane:
        """Inverse of :meth:`to_json`."""
        position, orientation, spacing, *others = exact_values(value, len(_PLANE_FIELDS))
        return Plane(
            position and tuple(position), orientation and tuple(orientation), spacing and tuple(spacing), *others
        )


_PLANE_FIELDS = tuple(item.name for item in fields(Plane))
_values_of_plane = attrgetter(*_PLANE_FIELDS)


@dataclass(frozen=True, slots=True)
class Instance(Details):
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
        """The values of the fields in their order."""
        *others, planes, selected, notes, fault = _values_of_instance(self)
        return [*others, [plane.to_json() for plane in planes], selected, notes, fault]

    @staticmethod
    def from_json(value: Json) -> Instance:
        """Inverse of :meth:`to_json`."""
        stated = exact_values(value, len(_INSTANCE_FIELDS))
        *_, planes, selected, notes, fault = stated
        selection = {keyword: tuple(found) for keyword, found in selected.items()}
        return Instance(*[*stated[:-4], tuple(map(Plane.from_json, planes)), selection, tuple(notes), fault])


_INSTANCE_FIELDS = tuple(item.name for item in fields(Instance))
_values_of_instance = attrgetter(*_INSTANCE_FIELDS)


class SourceInstance(NamedTuple):
    """A file of a case: what its mask must say of it, and what is expected when it is read. ``frames``: in the file."""

    sop_class_uid: str
    instance_uid: str
    frames: int
    transfer_syntax_uid: str


class SourceSlice(NamedTuple):
    """Where the pixels of a slice are and how they are rescaled.

    ``file``: number of the file in the case, from 0. ``frame``: number in that file, from 1; 0 for its only frame.
    """

    file: int
    frame: int
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class DicomCase(Details):
    """What the reader and the writer must know of a DICOM case.

    ``geometry``: of the slices in their order. ``slice_step``: mm between slices along their normal, also of a sheared
    stack; None if they are unevenly spaced. ``slice_thickness``: mm, what the SEG gives. ``intensity_type``: NumPy type
    that holds every intensity, None if only the pixels tell. ``instances``: one per file of the case. ``irregular``:
    what keeps the stack from being a straight, even box. ``unsure``: what ``--strict`` refuses.
    """

    series_uid: str
    frame_of_reference_uid: str | None
    rows: int
    columns: int
    geometry: Geometry
    slice_step: float | None
    slice_thickness: float | None
    intensity_type: str | None
    instances: tuple[SourceInstance, ...]
    slices: tuple[SourceSlice, ...]
    irregular: tuple[str, ...]
    unsure: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows, columns."""
        return len(self.slices), self.rows, self.columns

    @property
    def instance_uids(self) -> list[str]:
        """Of each file."""
        return [instance.instance_uid for instance in self.instances]

    @property
    def sources(self) -> list[FrameSource]:
        """Of each slice."""
        return [(self.instances[source.file].instance_uid, source.frame) for source in self.slices]

    def to_json(self) -> Json:
        """The fields by name."""
        return {name: getattr(self, name) for name in _CASE_FIELDS} | {"geometry": self.geometry.to_json()}

    @staticmethod
    def from_json(value: Json) -> DicomCase:
        """Inverse of :meth:`to_json`."""
        stated = exact_fields(value, _CASE_FIELDS)
        stated["geometry"] = Geometry.from_json(stated["geometry"])
        stated["instances"] = tuple(SourceInstance(*instance) for instance in stated["instances"])
        stated["slices"] = tuple(SourceSlice(*source) for source in stated["slices"])
        stated["irregular"], stated["unsure"] = tuple(stated["irregular"]), tuple(stated["unsure"])
        return DicomCase(**stated)


_CASE_FIELDS = tuple(item.name for item in fields(DicomCase))


def instance_of(details: Details | None) -> Instance:
    """The details of a description whose format is DICOM."""
    if not isinstance(details, Instance):
        raise TypeError("the description of a file that is no DICOM")
    return details


def dicom_case(case: Case) -> DicomCase:
    """The details of a case whose format is DICOM."""
    if not isinstance(case.details, DicomCase):
        raise TypeError(f"case {case.id} is no DICOM case")
    return case.details
