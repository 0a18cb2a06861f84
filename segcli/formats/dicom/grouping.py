"""Instances found on disk → cases, and every file that is none of a case with its reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from segcli.case import Case, LeftOut
from segcli.formats.dicom import kinds
from segcli.formats.dicom.building import case_of
from segcli.formats.dicom.conflicts import TWICE, Conflicts, InstanceFile, conflicts_of
from segcli.formats.dicom.selection import matches
from segcli.formats.dicom.split import Frame, Stack, frames_of, stacks_of
from segcli.formats.dicom.uids import case_id
from segcli.regular_file import open_regular

_OVERRIDING = frozenset({"imagetype", "sopclassuid"})
"""``--select`` on one of these takes image types that are left out otherwise."""

_MAIN_STACK = 5
"""A series with this many parallel slices has a main orientation; single images askew to it are scouts."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class SeriesRequest:
    """``relative``: path of a source file below the output folder, for mirroring. ``select``: pairs of ``--select``.

    ``spacing_given``: ``--spacing`` stands in where a series states none, so that is nothing to warn of.
    """

    relative: Callable[[Path], PurePosixPath]
    select: tuple[tuple[str, str], ...] = ()
    spacing_given: bool = False


def group(files: Sequence[InstanceFile], request: SeriesRequest) -> tuple[list[Case], list[LeftOut]]:
    """Cases of all series, and what was left out.

    Every file ends in a case or in exactly one left-out entry; a file with several time points or orientations may be
    in several cases.
    """
    sorter = _Sorter(request, conflicts_of(files))
    series: dict[tuple[str, str], list[InstanceFile]] = {}
    for path, instance in sorted(files, key=lambda entry: str(entry[0])):
        series.setdefault((instance.study_uid, instance.series_uid), []).append((path, instance))
    for _, members in sorted(series.items()):
        sorter.take_series(members)
    return sorter.cases, sorter.left_out


class _Sorter:
    def __init__(self, request: SeriesRequest, conflicts: Conflicts) -> None:
        self._request = request
        self._conflicts = conflicts
        self.cases: list[Case] = []
        self.left_out: list[LeftOut] = []

    def take_series(self, members: Sequence[InstanceFile]) -> None:
        chosen = [entry for entry in members if matches(entry[1].selected, self._request.select)]
        self._leave(_without(members, chosen), "skipped", "not chosen by --select")
        unique, differing = self._unique(chosen)
        problem = TWICE if differing else self._conflicts.of([instance for _, instance in unique])
        if problem is not None:
            self._leave(unique, "failed", problem)
            return
        slices = self._of_right_type(unique)
        faults = sorted({instance.fault for _, instance in slices if instance.fault is not None})
        if faults:
            self._leave(slices, "failed", _fault_text(slices, faults))
        else:
            self._take_stacks(slices)

    def _unique(self, members: Sequence[InstanceFile]) -> tuple[list[InstanceFile], bool]:
        """Each instance once; equal copies are listed as skipped. True where copies differ."""
        first: dict[str, InstanceFile] = {}
        copies: list[InstanceFile] = []
        differing: list[InstanceFile] = []
        for entry in members:
            original = first.setdefault(entry[1].instance_uid, entry)
            if original is entry:
                continue
            same = _same_bytes(original[0], entry[0])
            (copies if same else differing).append(entry)
        for copy in copies:
            self._leave([copy], "skipped", "a copy of an instance that is used already")
        return [*first.values(), *differing], bool(differing)

    def _of_right_type(self, members: Sequence[InstanceFile]) -> list[InstanceFile]:
        """Without localizers, mosaics and screen captures, and without derived views among originals."""
        if any(key.lower() in _OVERRIDING for key, _ in self._request.select):
            return list(members)
        original = any(instance.image_type.startswith("ORIGINAL\\PRIMARY") for _, instance in members)
        kept: list[InstanceFile] = []
        for entry in members:
            instance = entry[1]
            words = instance.image_type.split("\\")
            in_space = all(plane.place is not None for plane in instance.planes)
            reason = kinds.reason_image_type(instance.sop_class_uid, instance.modality, words, in_space)
            if reason is None and original and words[1:2] == ["SECONDARY"] and instance.modality in ("CT", "MR", "PT"):
                reason = "a derived view among original slices: --select ImageType=*SECONDARY* takes it"
            if reason is None:
                kept.append(entry)
            else:
                self._leave([entry], "skipped", reason)
        return kept

    def _take_stacks(self, members: Sequence[InstanceFile]) -> None:
        frames = [frame for path, instance in members for frame in frames_of(path, instance)]
        stacks = stacks_of(frames)
        usable = self._without_scouts(stacks)
        remarks = _parts_remark(usable)
        used: set[Path] = set()
        cases: list[Case] = []
        broken: list[Stack] = []
        for stack in usable:
            if stack.problem is not None:
                broken.append(stack)
                continue
            case = case_of(stack, self._request.relative, remarks, self._request.spacing_given)
            cases.append(case)
            used.update(case.files)
        self.cases += cases
        for stack in broken:
            self._leave([_file_of(frame) for frame in stack.frames if frame.path not in used], "failed", stack.problem)

    def _without_scouts(self, stacks: Sequence[Stack]) -> list[Stack]:
        longest = max((len(stack.frames) for stack in stacks), default=0)
        if longest < _MAIN_STACK or any(key.lower() in _OVERRIDING for key, _ in self._request.select):
            return list(stacks)
        main = {stack.orientation for stack in stacks if len(stack.frames) > 1}
        kept: list[Stack] = []
        for stack in stacks:
            scout = stack.frames[0].instance.modality in ("CT", "MR", "PT") and len(stack.frames) == 1
            if scout and stack.orientation and stack.orientation not in main and not stack.frames[0].number:
                reason = "a single image askew to the stack of its series (a scout or reformatted view)"
                self._leave([_file_of(stack.frames[0])], "skipped", reason)
            else:
                kept.append(stack)
        return kept

    def _leave(self, members: Sequence[InstanceFile], status: Literal["skipped", "failed"], reason: str | None) -> None:
        unique = dict(members)
        if not unique:
            return
        files = tuple(unique)
        names = [self._request.relative(path) for path in files]
        instance = members[0][1]
        several = len(files) > 1
        self.left_out.append(
            LeftOut(
                name=str(names[0].parent if several else names[0]),
                id=case_id(instance.study_uid, instance.series_uid, "" if several else str(names[0])),
                status=status,
                reason=reason or "",
                files=files,
                format="dicom",
            )
        )


def _same_bytes(one: Path, other: Path) -> bool:
    """False also where one of them can no longer be read."""
    try:
        with open_regular(one) as first, open_regular(other) as second:
            if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
                return False
            while (block := first.read(_BLOCK)) == second.read(_BLOCK):
                if not block:
                    return True
    except OSError:
        pass
    return False


def _file_of(frame: Frame) -> InstanceFile:
    return frame.path, frame.instance


def _without(members: Sequence[InstanceFile], chosen: Sequence[InstanceFile]) -> list[InstanceFile]:
    paths = {path for path, _ in chosen}
    return [entry for entry in members if entry[0] not in paths]


def _fault_text(members: Sequence[InstanceFile], faults: Sequence[str]) -> str:
    faulty = sum(instance.fault is not None for _, instance in members)
    return faults[0] if faulty == len(members) else f"{faulty} of its {len(members)} files: {faults[0]}"


def _parts_remark(stacks: Sequence[Stack]) -> tuple[str, ...]:
    """Said of each part where a series had to be split otherwise than into time points."""
    parts = len({stack.part for stack in stacks if stack.orientation})
    loose = sum(len(stack.frames) for stack in stacks if not stack.orientation)
    remarks = []
    if parts > 1:
        words = "different sizes, orientation, frame of reference or type"
        remarks.append(f"its series holds {parts} stacks of {words}: one mask each")
    if parts and loose:
        remarks.append(f"{loose} image(s) of its series state no position: they are no part of a stack")
    return tuple(remarks)
