"""Which mask belongs to which image. Nothing is left over on either side, or it is said by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segcli.case import Case
from segcli.errors import UsageError
from segcli.formats.mask_files import MaskFile, key_of, list_masks
from segcli.formats.readers import Readers
from segcli.formats.scan import ScanOptions, scan
from segcli.training.layout import Layout

DICOM = "dicom"
_MASK_WORDS = ("_mask", "_masks", "_seg", "_segmentation", "_label", "_labels")
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Pair:
    """One case of the data set, as a scan of predict would find it, and its mask."""

    name: str
    case: Case
    mask: MaskFile


def find_pairs(layout: Layout, readers: Readers) -> tuple[Pair, ...]:
    """All pairs by name. Raises UsageError naming an image without mask, a mask without image, or an empty folder."""
    channels = len(layout.channels) if layout.channels is not None else channel_files(layout.images)
    found = scan([layout.images], ScanOptions(key=b"training", channels=channels), readers)
    for entry in found.left_out:
        if entry.status == "failed":
            raise UsageError(f"{layout.images.name}/{entry.name}: {entry.reason}")
    if not found.cases:
        raise UsageError(f"{layout.images} holds no image: nothing to train on")
    matcher = _Matcher(found.cases, list_masks(layout.masks), readers)
    pairs = tuple(Pair(name, case, mask) for name, case, mask in matcher.matched())
    lonely = matcher.without_mask()
    if lonely:
        raise UsageError(
            f"an image without a mask: {_some(lonely)} of {layout.images}: add the mask to {layout.masks.name}, "
            "or take the image away"
        )
    left = matcher.without_image()
    if left:
        raise UsageError(
            f"a mask without an image: {_some(left)} of {layout.masks}: add the image to {layout.images.name}, "
            "or take the mask away"
        )
    return pairs


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
    """Masks by name, DICOM SEGs by the images they say they come from."""

    def __init__(self, cases: Sequence[Case], masks: Sequence[MaskFile], readers: Readers) -> None:
        self._names = {case.id: key_of(PurePosixPath(case.name)) for case in cases}
        self._cases = cases
        self._masks: dict[str, MaskFile] = {}
        for mask in masks:
            if mask.key in self._masks:
                raise UsageError(f"two masks are called {mask.key}: {self._masks[mask.key].path.name} and more")
            self._masks[mask.key] = mask
        self._found: dict[str, MaskFile] = {}
        self._match_dicom(readers)
        self._match_names()

    def matched(self) -> list[tuple[str, Case, MaskFile]]:
        names = self._distinct_names()
        pairs = [(names[case.id], case, self._found[case.id]) for case in self._cases if case.id in self._found]
        return sorted(pairs, key=lambda pair: pair[0])

    def without_mask(self) -> list[str]:
        return sorted(self._names[case.id] for case in self._cases if case.id not in self._found)

    def without_image(self) -> list[str]:
        used = {mask.key for mask in self._found.values()}
        return sorted(set(self._masks) - used)

    def _distinct_names(self) -> Mapping[str, str]:
        names = list(self._names.values())
        return {i: name if names.count(name) == 1 else f"{name}#{i}" for i, name in self._names.items()}

    def _match_dicom(self, readers: Readers) -> None:
        owners = {uid: case for case in self._cases if case.format == DICOM for uid in instance_uids(case)}
        for mask in self._masks.values():
            if mask.format != DICOM:
                continue
            (labels,) = readers.read_labels(DICOM, mask.path)
            cases = {owners[uid].id: owners[uid] for uid, _ in labels.extra["sources"] if uid in owners}
            if len(cases) > 1:
                raise UsageError(f"{mask.path.name} belongs to several series: one DICOM SEG a series is expected")
            for identifier in cases:
                self._take(identifier, mask)

    def _match_names(self) -> None:
        for case in self._cases:
            name = self._names[case.id]
            alike = [name, f"{PurePosixPath(name).parent}/SEG_{case.id}".removeprefix("./"), f"{name}/SEG_{case.id}"]
            for key in [*alike, *(name + word for word in _MASK_WORDS)]:
                if case.id not in self._found and key in self._masks:
                    self._take(case.id, self._masks[key])

    def _take(self, identifier: str, mask: MaskFile) -> None:
        if identifier in self._found:
            raise UsageError(
                f"two masks belong to {self._names[identifier]}: {self._found[identifier].path.name} and "
                f"{mask.path.name}"
            )
        self._found[identifier] = mask


def instance_uids(case: Case) -> list[str]:
    """SOP instance UIDs of the files of a DICOM case."""
    return [str(instance[1]) for instance in case.details["instances"]]


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
