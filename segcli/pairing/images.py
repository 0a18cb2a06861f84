"""Which mask belongs to which image. Nothing is left over on either side, or it is said by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segcli.case import Case, LeftOut
from segcli.errors import UsageError
from segcli.formats.dicom.records import dicom_case
from segcli.formats.mask_files import MaskFile, key_of, list_masks
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.pairing.layout import Layout
from segcli.pairing.names import by_key, mask_name
from segcli.pairing.sources import DICOM, source_uids

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_NUMBERED = (
    "masks are numbered, {name} is one: say with --numbered-masks what the numbers are, labels (each a label of its "
    "own) or instances (of the labels the masks hold)"
)


@dataclass(frozen=True)
class NumberedMask:
    """A mask and the number in its name, None where it has none."""

    file: MaskFile
    number: int | None = None


@dataclass(frozen=True)
class Pair:
    """One case of the data set, as a scan of predict would find it, and its mask, or its numbered masks."""

    name: str
    case: Case
    masks: tuple[NumberedMask, ...]


@dataclass(frozen=True)
class Pairs:
    """All pairs by name, and what must be told of what is none of them."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def find_pairs(layout: Layout, readers: Readers) -> Pairs:
    """All pairs. Raises UsageError naming an image without mask, a mask without image, or an empty folder.

    Links are followed.
    """
    channels = len(layout.channels) if layout.channels is not None else channel_files(layout.images)
    options = ScanOptions(key=b"training", channels=channels, follow_links=True)
    found = scan([layout.images], options, readers)
    masks = list_masks(layout.masks)
    cases = found.cases
    if layout.together:
        masks = [mask for mask in masks if mask.format != DICOM and mask_name(mask.key) is not None]
        cases = tuple(case for case in cases if case.format == DICOM or mask_name(_key(case)) is None)
    for entry in found.left_out:
        if entry.status == "failed":
            raise UsageError(f"{layout.images.name}/{entry.name}: {entry.reason}")
    if not cases:
        raise UsageError(f"{layout.images} holds no image: nothing to train on")
    matcher = _Matcher(cases, masks, readers)
    pairs = matcher.matched()
    images_without_mask = matcher.without_mask()
    where = "it beside the image, as a_mask beside a" if layout.together else f"the mask to {layout.masks.name}"
    if images_without_mask:
        raise UsageError(
            f"an image without a mask: {_some(images_without_mask)} of {layout.images}: add {where}, "
            "or take the image away"
        )
    left = matcher.without_image()
    if left:
        raise UsageError(
            f"a mask without an image: {_some(left)} of {layout.masks}: add the image to {layout.images.name}, "
            "or take the mask away"
        )
    numbered = [mask for pair in pairs for mask in pair.masks if mask.number is not None]
    if numbered and layout.numbered is None:
        raise UsageError(_NUMBERED.format(name=numbered[0].file.key))
    if layout.numbered is not None and not numbered:
        raise UsageError("--numbered-masks: no mask has a number, as a_mask_2 has")
    return Pairs(tuple(pairs), _left_out(found.left_out))


def _left_out(entries: Sequence[LeftOut]) -> tuple[str, ...]:
    counts = Counter(entry.reason for entry in entries)
    return tuple(f"left out {count} file{'s' if count > 1 else ''}: {reason}" for reason, count in counts.items())


def _key(case: Case) -> str:
    return key_of(PurePosixPath(case.name))


def channel_files(folder: Path) -> int:
    """How many files ``a_0000 … a_000N`` every image of ``folder`` consists of; 1 where they are not named so."""
    numbers: dict[str, set[int]] = {}
    for path in folder.rglob("*"):
        match = _CHANNEL.fullmatch(path.name.split(".")[0])
        if match is not None and path.is_file():
            numbers.setdefault(str(path.parent / match[1]), set()).add(int(match[2]))
    counts = {len(found) for found in numbers.values() if found == set(range(len(found)))}
    return counts.pop() if len(counts) == 1 else 1


class _Matcher:
    """Masks by name, DICOM SEGs by the images they say they come from. A mask belongs to one image, or to none."""

    def __init__(self, cases: Sequence[Case], masks: Sequence[MaskFile], readers: Readers) -> None:
        self._names = {case.id: _key(case) for case in cases}
        self._cases = cases
        self._masks = by_key(masks)
        self._found: dict[str, list[NumberedMask]] = {}
        self._used: set[str] = set()
        self._match_dicom(readers)
        self._match_names()

    def matched(self) -> list[Pair]:
        names = self._distinct_names()
        pairs = [Pair(names[c.id], c, tuple(self._found[c.id])) for c in self._cases if c.id in self._found]
        return sorted(pairs, key=lambda pair: pair.name)

    def without_mask(self) -> list[str]:
        return sorted(self._names[case.id] for case in self._cases if case.id not in self._found)

    def without_image(self) -> list[str]:
        return sorted(set(self._masks) - self._used)

    def _distinct_names(self) -> Mapping[str, str]:
        counts = Counter(self._names.values())
        return {i: name if counts[name] == 1 else f"{name}#{i}" for i, name in self._names.items()}

    def _match_dicom(self, readers: Readers) -> None:
        owners = {uid: case for case in self._cases if case.format == DICOM for uid in dicom_case(case).instance_uids}
        for mask in self._masks.values():
            if mask.format != DICOM:
                continue
            cases = {owners[uid].id for uid in source_uids(mask, readers) if uid in owners}
            if len(cases) > 1:
                raise UsageError(f"{mask.path.name} belongs to several series: one DICOM SEG a series is expected")
            for identifier in cases:
                self._take(identifier, NumberedMask(mask))

    def _match_names(self) -> None:
        by_name: dict[str, list[Case]] = {}
        exact: dict[str, str] = {}
        for case in self._cases:
            if case.id in self._found:
                continue
            name = self._names[case.id]
            by_name.setdefault(name, []).append(case)
            beside = f"{PurePosixPath(name).parent}/SEG_{case.id}".removeprefix("./")
            exact |= dict.fromkeys((name, beside, f"{name}/SEG_{case.id}"), name)
        for mask in self._masks.values():
            if mask.key in self._used:
                continue
            named = mask_name(mask.key)
            if mask.key in exact:
                owner, number = exact[mask.key], None
            elif named is not None and named.image in by_name:
                owner, number = named.image, named.number
            else:
                continue
            cases = by_name[owner]
            if len(cases) > 1:
                files = " and ".join(case.files[0].name for case in cases[:2])
                raise UsageError(f"two images are called {owner}, {files}: which of them is {mask.path.name} of?")
            self._take(cases[0].id, NumberedMask(mask, number))

    def _take(self, identifier: str, mask: NumberedMask) -> None:
        others = self._found.setdefault(identifier, [])
        for other in others:
            if other.number == mask.number or None in (other.number, mask.number):
                raise UsageError(
                    f"two masks belong to {self._names[identifier]}: {other.file.path.name} and {mask.file.path.name}"
                )
        others.append(mask)
        self._used.add(mask.file.key)


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
