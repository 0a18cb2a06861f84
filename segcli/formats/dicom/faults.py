"""Why an image that belongs to a series cannot be read truthfully, as far as its header tells; None if it can.

One such image fails its series: without it the stack would have a hole, and with a guess a plausible wrong mask.
"""

from __future__ import annotations

from segcli.errors import CaseError
from segcli.formats.dicom import kinds
from segcli.formats.dicom.data_set import NOT_NATIVE, Opened
from segcli.formats.dicom.layout import Layout, layout_of
from segcli.formats.dicom.records import Instance
from segcli.formats.limits import FREE_SLICES
from segcli.formats.unpack import MAX_PER_BYTE

_TOO_FEW = "the file holds fewer bytes of pixel data than its sizes need: it was cut short"
_BYTES_OF_A_FRAME = 16
"""Stored bytes without which there can be no frame: the scan remembers every frame, in a few hundred bytes."""

_BYTES_OF_A_PLANE = 64
"""Stored bytes of a frame that functional groups describe: no group that says anything is shorter."""


def fault_of(opened: Opened, instance: Instance) -> str | None:
    """``instance``: what :mod:`segcli.formats.dicom.instance` has made of the header."""
    if opened.syntax not in kinds.DECODABLE:
        syntax = kinds.shown(opened.syntax)
        return f"transfer syntax {syntax} cannot be decoded: convert it to another, uncompressed for example"
    if opened.pixels is None:
        return "the file ends before its pixel data: it was cut short"
    if opened.endless and opened.syntax in kinds.NATIVE:
        return NOT_NATIVE
    try:
        layout = layout_of(opened.data_set, opened.pixels)
    except CaseError as error:
        return str(error)
    if opened.syntax not in kinds.NATIVE and layout.high != layout.stored - 1:
        return f"compressed pixels with high bit {layout.high} for {layout.stored} bits stored"
    return opened.twice or _fault_of_size(opened, layout) or _fault_of_frames(instance) or _fault_of_planes(instance)


def describes_its_frames(stored: int, frames: int, described: int) -> bool:
    """Whether the functional groups are worth looking at, one by one: as many as frames, and paid for in bytes."""
    return frames == described and frames <= max(FREE_SLICES, stored // _BYTES_OF_A_PLANE)


def _fault_of_size(opened: Opened, layout: Layout) -> str | None:
    if layout.frames > max(FREE_SLICES, opened.stored // _BYTES_OF_A_FRAME):
        return f"it states {layout.frames:,} frames in {opened.stored:,} bytes: correct the header"
    if opened.syntax == kinds.DEFLATED:  # exactly known when it is inflated
        return _TOO_FEW if layout.native_size > opened.stored * MAX_PER_BYTE else None
    native = opened.syntax in kinds.NATIVE
    # The head of the element, and then the pixels or the item head of each frame.
    least = layout.native_size + 8 if native else layout.frames * 8 + 12
    if opened.behind < least:
        return _TOO_FEW
    return None


def _fault_of_frames(instance: Instance) -> str | None:
    described = instance.frames_described
    if described is None:
        return None
    if described != instance.frames:
        return f"it states {instance.frames} frames and describes {described}"
    if len(instance.planes) != described:
        return f"it describes {described:,} frames in too few bytes to say anything of them: correct the header"
    return None


def _fault_of_planes(instance: Instance) -> str | None:
    """Values that are there but make no sense: an absent position is an answer, a broken one is not."""
    for plane in instance.planes:
        if plane.malformed is not None:
            return f"{plane.malformed} is not what the standard asks of it: correct the header"
    return None
