"""Formats whose every file is an image of its own: how they group, and how files that are channels become one case.

``a_0000.png … a_000(C−1).png`` are one case for a card of C channels, and each is read as one channel.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segcli.case import Case, LeftOut
from segcli.errors import SegcliError, SkippedCase, UnsupportedError
from segcli.formats.interface import (
    DescribedFile,
    Description,
    Format,
    Grouped,
    GroupRequest,
    InputFiles,
    MaskRequest,
    ReadRequest,
    ReadResult,
)
from segcli.formats.limits import MASK_PIXELS
from segcli.formats.walk import Found
from segcli.geometry import difference
from segcli.image import Image, LabelMap

_NUMBERED = re.compile(r"(?P<base>.+)_(?P<number>\d{4})(?P<suffix>(\.[^/]*)?)", re.DOTALL)


class Codec(Protocol):
    """What decodes and encodes the files of one format; a module or an object. See the methods of :class:`Format`."""

    def describe(self, path: Path) -> Description:
        """From headers alone."""
        ...

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """Intensities of ``case.files[0]``."""
        ...

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """Write the masks of all parts."""
        ...

    def read_labels(self, path: Path, max_pixels: int = ...) -> tuple[LabelMap, ...]:
        """Label numbers of a mask file."""
        ...


class FileFormat(Format):
    """A format of single files. What needs its library is in :meth:`codec`, imported when a file is read or written."""

    @abstractmethod
    def mask_name(self, name: str) -> str:
        """File name of the mask of a file called ``name``: equal, or the mask's own suffix appended."""

    @abstractmethod
    def codec(self) -> Codec:
        """What decodes and encodes; its library is imported here."""

    def describe(self, path: Path, keywords: Sequence[str] = ()) -> Description:
        """From headers alone; there are no elements to look up."""
        return self.codec().describe(path)

    def group(self, files: Sequence[DescribedFile], request: GroupRequest) -> Grouped:
        """One case per file, or one for all channel files of an image; data files that headers name belong to them."""
        cases: list[Case] = []
        left_out: list[LeftOut] = []
        for group in _joined(files, request.channels):
            found = group.result(self, request)
            if isinstance(found, Case):
                cases.append(found)
            else:
                left_out.append(found)
        return Grouped(cases, left_out)

    def read(self, case: Case, request: ReadRequest, files: InputFiles) -> ReadResult:
        """Intensities of the file, or of all channel files, stacked. Raises UnsupportedError where these differ."""
        if case.channel_files == 1:
            return self.codec().read(case, request, files)
        if request.channel is not None:
            raise UnsupportedError(
                "--channel names a channel within a file, but this case has one file for each channel"
            )
        results = []
        for index, path in enumerate(case.files[: case.channel_files]):  # data files beside headers stand behind
            single = replace(case, files=(path,), channel_files=1)
            wanted = None if request.channels is None else request.channels[index : index + 1]
            results.append(self.codec().read(single, replace(request, channels=wanted, hold_pixels=None), files))
        return _stacked(results)

    def write(self, target: Path, case: Case, masks: Sequence[LabelMap], request: MaskRequest) -> None:
        """Write the masks of all parts to ``target``."""
        self.codec().write(target, case, masks, request)

    def read_labels(self, path: Path, max_pixels: int = MASK_PIXELS) -> tuple[LabelMap, ...]:
        """Label numbers of a mask file, one label map per part."""
        return self.codec().read_labels(path, max_pixels)


@dataclass(frozen=True)
class _Group:
    """Files of one case in channel order. ``stand_in``: the file as which the case is known (without ``_0000``)."""

    members: tuple[DescribedFile, ...]
    stand_in: Found

    def result(self, source: FileFormat, request: GroupRequest) -> Case | LeftOut:
        """The case, or why there is none."""
        described: list[Description] = []
        error: SegcliError | None = None
        for member in self.members:
            if isinstance(member.answer, Description):
                described.append(member.answer)
            else:
                error = error or member.answer
        companions = self._companions()
        headers = tuple(member.file.path for member in self.members)
        if error is not None:
            status: Literal["skipped", "failed"] = "skipped" if isinstance(error, SkippedCase) else "failed"
            return self._left_out(source, request, status, str(error), (*headers, *companions))
        if not request.follow_links and not all(_is_beside(path, headers[0]) for path in companions):
            reason = "its data file is a link, or lies behind one (--follow-links follows it)"
            return self._left_out(source, request, "failed", reason, headers)  # the link itself is told by the walk
        first = described[0]
        # A mask is called as its file, or has a suffix appended.
        appended = source.mask_name(headers[0].name).removeprefix(headers[0].name)
        relative = self.stand_in.relative
        return Case(
            id=self.stand_in.id(request.key),
            format=source.name,
            name=str(relative),
            output=relative.with_name(relative.name + PurePosixPath(appended or ".").name),
            files=(*headers, *companions),
            modality=first.modality,
            shape=first.shape,
            spacing=first.spacing,
            orientation=first.orientation,
            warnings=tuple(dict.fromkeys(text for one in described for text in one.warnings)),
            banded=first.banded and len(described) == 1,
            channel_files=len(described),
            linked=any(member.file.linked for member in self.members) or any(path.is_symlink() for path in companions),
        )

    def _companions(self) -> tuple[Path, ...]:
        """Files that hold the pixels of a header (``a.raw`` beside ``a.mhd``), as the headers name them."""
        named: dict[Path, None] = {}
        for member in self.members:
            if isinstance(member.answer, Description):
                named.update({member.file.path.parent / name: None for name in member.answer.companions})
        return tuple(named)

    def _left_out(
        self,
        source: FileFormat,
        request: GroupRequest,
        status: Literal["skipped", "failed"],
        reason: str,
        files: tuple[Path, ...],
    ) -> LeftOut:
        return LeftOut(str(self.stand_in.relative), self.stand_in.id(request.key), status, reason, files, source.name)


def _joined(files: Sequence[DescribedFile], channels: int) -> list[_Group]:
    """Groups of all ``files``, each in exactly one. Only for ``channels`` ≥ 2, and only complete sets, are joined."""
    sets: dict[tuple[PurePosixPath, str, str], dict[int, DescribedFile]] = {}
    if channels >= 2:
        for entry in files:
            match = _NUMBERED.fullmatch(entry.file.identity.name)
            if match is not None:
                key = (entry.file.identity.parent, match["base"], match["suffix"])
                sets.setdefault(key, {})[int(match["number"])] = entry
    groups: list[_Group] = []
    joined: set[Path] = set()
    for (_, base, suffix), numbered in sets.items():
        if all(number in numbered for number in range(channels)):
            members = tuple(numbered[number] for number in range(channels))
            groups.append(_Group(members, _called(members[0].file, base + suffix)))
            joined.update(member.file.path for member in members)
    groups += [_Group((entry,), entry.file) for entry in files if entry.file.path not in joined]
    return groups


def _called(file: Found, name: str) -> Found:
    return replace(file, relative=file.relative.with_name(name), identity=file.identity.with_name(name))


def _is_beside(companion: Path, header: Path) -> bool:
    return not companion.is_symlink() and companion.resolve().is_relative_to(header.resolve().parent)


def _stacked(results: Sequence[ReadResult]) -> ReadResult:
    """Channel files, each read by itself → one result."""
    if len({len(result.parts) for result in results}) != 1:
        raise UnsupportedError("the channel files hold different numbers of pages or time points")
    parts = tuple(_stacked_part(parts) for parts in zip(*(result.parts for result in results), strict=True))
    warnings = dict.fromkeys(warning for result in results for warning in result.warnings)
    return ReadResult(parts, tuple(warnings))


def _stacked_part(parts: Sequence[Image]) -> Image:
    first = parts[0]
    for index, part in enumerate(parts):
        if part.shape[1] != 1:
            raise UnsupportedError(f"channel file {index} holds {part.shape[1]} channels: one is expected in each")
        if part.shape != first.shape:
            raise UnsupportedError(f"channel file {index} has another size than the first: resample it onto the first")
        if difference(part.geometry, first.geometry) is not None:
            raise UnsupportedError(f"channel file {index} lies elsewhere in space than the first: register it first")
    valid: NDArray[np.bool_] | None = None
    for part in parts:
        if part.valid is not None:
            valid = part.valid if valid is None else valid & part.valid
    return replace(first, pixels=np.concatenate([part.pixels for part in parts], axis=1), valid=valid)
