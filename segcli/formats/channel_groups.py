"""Which files are one case: each alone, but ``a_0000.png … a_000(C−1).png`` together for a card of C channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from segcli.case import Case
from segcli.errors import SegcliError
from segcli.formats import channel_files
from segcli.formats.messages import FileDescription
from segcli.formats.readers import Described as Answer
from segcli.formats.walk import Found

COMPANIONS = "files"
"""In the details of a description: paths of further files of the image, relative to the header's folder."""

_NUMBERED = re.compile(r"(?P<base>.+)_(?P<number>\d{4})(?P<suffix>(\.[^/]*)?)", re.DOTALL)


@dataclass(frozen=True)
class Described:
    """A file, its format, and what its header said (or why it said nothing)."""

    format: str
    file: Found
    answer: Answer


@dataclass(frozen=True)
class Group:
    """Files of one case in channel order. ``stand_in``: the file as which the case is known (without ``_0000``)."""

    members: tuple[Described, ...]
    stand_in: Found

    @property
    def format(self) -> str:
        """The format of every file of the group."""
        return self.members[0].format

    @property
    def companions(self) -> tuple[Path, ...]:
        """Files that hold the pixels of a header (``a.raw`` beside ``a.mhd``), as the headers name them."""
        named: dict[Path, None] = {}
        for member in self.members:
            if isinstance(member.answer, FileDescription):
                details = member.answer.description.details or {}
                named.update({member.file.path.parent / str(name): None for name in details.get(COMPANIONS, ())})
        return tuple(named)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files in reading order, companions last."""
        return (*(member.file.path for member in self.members), *self.companions)

    @property
    def error(self) -> SegcliError | None:
        """The first error among the files; None if all were described."""
        return next((member.answer for member in self.members if isinstance(member.answer, SegcliError)), None)

    def case(self, identifier: str) -> Case:
        """The case; only for a group without error."""
        found = [member.answer for member in self.members if isinstance(member.answer, FileDescription)]
        first = found[0].description
        details = dict(first.details or {})
        if len(found) > 1:
            each = [dict(answer.description.details or {}) for answer in found]
            details = {channel_files.COUNT: len(found), channel_files.EACH: each}
        # A mask is called as its file, or has a suffix appended.
        appended = found[0].mask_name.removeprefix(self.members[0].file.path.name)
        relative = self.stand_in.relative
        return Case(
            id=identifier,
            format=self.format,
            name=str(relative),
            output=relative.with_name(relative.name + PurePosixPath(appended or ".").name),
            files=self.paths,
            modality=first.modality,
            shape=first.shape,
            spacing=first.spacing,
            orientation=first.orientation,
            warnings=tuple(dict.fromkeys(text for answer in found for text in answer.description.warnings)),
            details=details,
            linked=any(member.file.linked for member in self.members)
            or any(path.is_symlink() for path in self.companions),
        )


def join_channel_files(files: Sequence[Described], channels: int) -> list[Group]:
    """Groups of all ``files``, each in exactly one. Only for ``channels`` ≥ 2, and only complete sets, are joined."""
    sets: dict[tuple[str, PurePosixPath, str, str], dict[int, Described]] = {}
    if channels >= 2:
        for entry in files:
            match = _NUMBERED.fullmatch(entry.file.identity.name)
            if match is not None:
                key = (entry.format, entry.file.identity.parent, match["base"], match["suffix"])
                sets.setdefault(key, {})[int(match["number"])] = entry
    groups: list[Group] = []
    joined: set[Path] = set()
    for (_, _, base, suffix), numbered in sets.items():
        if all(number in numbered for number in range(channels)):
            members = tuple(numbered[number] for number in range(channels))
            groups.append(Group(members, _called(members[0].file, base + suffix)))
            joined.update(member.file.path for member in members)
    groups += [Group((entry,), entry.file) for entry in files if entry.file.path not in joined]
    return groups


def _called(file: Found, name: str) -> Found:
    return replace(file, relative=file.relative.with_name(name), identity=file.identity.with_name(name))
