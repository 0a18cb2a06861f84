"""A stack of frames → the case that scan, reader and writer share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from segcli.case import Case
from segcli.formats.dicom.records import DicomCase, SourceInstance, SourceSlice
from segcli.formats.dicom.split import Frame, Stack
from segcli.formats.dicom.stack import StackShape, normal_of, shape_of
from segcli.formats.dicom.uids import case_id
from segcli.image import Geometry

_INTEGER_TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64")


def case_of(
    stack: Stack,
    relative: Callable[[Path], PurePosixPath],
    remarks: tuple[str, ...] = (),
    spacing_given: bool = False,
) -> Case:
    """The case of a stack; its details hold what the reader and the writer need, in slice order.

    ``remarks``: what is to be told about the whole series. ``spacing_given``: by the user, so that none is missed.
    """
    first = stack.frames[0]
    instance = first.instance
    files = tuple(dict.fromkeys(frame.path for frame in stack.frames))
    geometry, shape = _geometry(stack)
    identifier = case_id(instance.study_uid, instance.series_uid, *stack.part, stack.time)
    folder = _common_folder([relative(path) for path in files])
    thickness, note = _thickness(stack, shape)
    missed = geometry.spacing is None and not spacing_given
    warnings = (*shape.warnings, *_remarks(stack, geometry, note, missed), *remarks)
    details = DicomCase(
        series_uid=instance.series_uid,
        frame_of_reference_uid=instance.frame_of_reference_uid,
        rows=instance.rows,
        columns=instance.columns,
        geometry=geometry,
        slice_step=shape.normal_step,
        slice_thickness=thickness,
        intensity_type=_intensity_type(stack),
        instances=_instances(stack),
        slices=_slices(stack, files),
        irregular=shape.warnings,
        unsure=tuple(text for text in warnings if "spacing" in text or "position" in text),
    )
    spacing = geometry.spacing
    return Case(
        id=identifier,
        format="dicom",
        name=str(folder) if str(folder) != "." else ".",
        output=folder / f"SEG_{identifier}.dcm",
        files=files,
        modality=instance.modality,
        shape=(len(stack.frames), instance.rows, instance.columns),
        spacing=None if spacing is None else (*spacing, *([] if shape.normal_step is None else [shape.normal_step])),
        orientation=geometry.orientation,
        transfer_syntax="\\".join(sorted({frame.instance.transfer_syntax_uid for frame in stack.frames})),
        warnings=warnings,
        body_parts=tuple(sorted({frame.instance.body_part for frame in stack.frames} - {""})),
        details=details,
    )


def _instances(stack: Stack) -> tuple[SourceInstance, ...]:
    """One per file, in the order in which the slices first need it."""
    instances = {frame.path: frame.instance for frame in stack.frames}
    return tuple(
        SourceInstance(one.sop_class_uid, one.instance_uid, one.frames, one.transfer_syntax_uid)
        for one in instances.values()
    )


def _slices(stack: Stack, files: Sequence[Path]) -> tuple[SourceSlice, ...]:
    numbers = {path: index for index, path in enumerate(files)}
    return tuple(SourceSlice(numbers[frame.path], frame.number, *_rescale(frame)) for frame in stack.frames)


def _common_folder(files: list[PurePosixPath]) -> PurePosixPath:
    parents = [str(file.parent) for file in files]
    return PurePosixPath(os.path.commonpath(parents))


def _geometry(stack: Stack) -> tuple[Geometry, StackShape]:
    planes = [frame.plane for frame in stack.frames]
    spacing = planes[0].pixel_spacing
    places = [place for plane in planes if (place := plane.place) is not None]
    if not places:
        return Geometry(spacing=spacing), StackShape(None, None, ())
    positions = tuple(position for position, _ in places)
    orientation = places[0][1]
    shape = shape_of(positions, orientation, spacing)
    normal = normal_of(orientation).tolist()
    geometry = Geometry(
        spacing=spacing,
        slice_spacing=shape.spacing,
        axes=(orientation[:3], orientation[3:], (normal[0], normal[1], normal[2])),
        positions=positions,
    )
    return geometry, shape


def _thickness(stack: Stack, shape: StackShape) -> tuple[float | None, str | None]:
    """Slice thickness, and what is said where none is stated; see :func:`segcli.formats.dicom.space.thickness`."""
    planes = [frame.plane for frame in stack.frames]
    stated = next((plane.slice_thickness for plane in planes if plane.slice_thickness is not None), None)
    if planes[0].slice_thickness is not None or planes[0].position is None:
        return stated, None
    for number, words in (
        (stated, "that of other slices"),
        (shape.normal_step or planes[0].spacing_between_slices, "the distance between slices"),
        (0.0, "the pixel spacing"),
    ):
        if number is not None:
            return number or None, f"no slice thickness is stated: the SEG gives {words} in its place"
    return None, None


def _remarks(stack: Stack, geometry: Geometry, note: str | None, spacing_missed: bool) -> list[str]:
    instance = stack.frames[0].instance
    remarks = [] if note is None else [note]
    if spacing_missed and geometry.positions is not None and instance.frame_of_reference_uid is not None:
        remarks.append("no usable pixel spacing is stated: the case is refused unless --spacing gives one")
    elif spacing_missed:
        detector = " but that of the detector" if instance.has_detector_spacing else ""
        remarks.append(f"no pixel spacing is stated{detector}: --spacing gives one, else pixels are taken as they are")
    if geometry.positions is None and instance.modality in ("CT", "MR", "PT"):
        remarks.append("no slice position or orientation is stated: each image is segmented in its own plane")
    if stack.time_points > 1:
        remarks.append(f"one of {stack.time_points} time points (or echoes) at the same positions: one mask each")
    if not instance.is_dated:
        remarks.append("no usable date in the headers: the SEG is dated 1900-01-01")
    notes = sorted({text for frame in stack.frames for text in frame.instance.notes})
    return remarks + [f"odd header value: {text}" for text in notes]


def _rescale(frame: Frame) -> tuple[float, float]:
    """Slope and intercept; what no frame of the series states is 1 and 0."""
    slope, intercept = frame.plane.rescale_slope, frame.plane.rescale_intercept
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept


def _intensity_type(stack: Stack) -> str | None:
    """NumPy dtype that holds every intensity of the stack exactly, or float32; None if only the pixels will tell."""
    instances = [frame.instance for frame in stack.frames]
    if any(instance.has_modality_lut or instance.is_colour for instance in instances):
        return None
    if any(instance.is_float for instance in instances):
        return "float64" if any(instance.bits_allocated == 64 for instance in instances) else "float32"
    lowest, highest = 0, 0
    for frame in stack.frames:
        slope, intercept = _rescale(frame)
        if slope != 1 or intercept != int(intercept):
            return "float32"
        stored, signed = frame.instance.bits_stored, frame.instance.is_signed
        lowest = min(lowest, (-(1 << (stored - 1)) if signed else 0) + int(intercept))
        highest = max(highest, (1 << (stored - 1 if signed else stored)) - 1 + int(intercept))
    for name in _INTEGER_TYPES:
        if np.iinfo(name).min <= lowest and highest <= np.iinfo(name).max:
            return name
    return "float32"
