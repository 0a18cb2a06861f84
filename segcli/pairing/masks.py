"""Which prediction belongs to which reference: by name, DICOM SEGs also by the images they say they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segcli.errors import UsageError
from segcli.formats.mask_files import MaskFile, list_masks
from segcli.formats.readers import Readers
from segcli.pairing.names import by_key
from segcli.pairing.sources import DICOM, source_uids


@dataclass(frozen=True)
class MaskPair:
    """``prediction`` is None where none was found: the case counts as failed, never as left out."""

    name: str
    reference: MaskFile
    prediction: MaskFile | None


def pair_masks(
    predictions: Path, references: Path, readers: Readers
) -> tuple[tuple[MaskPair, ...], tuple[MaskFile, ...]]:
    """A pair for every reference, by name, and the predictions that belong to none.

    Raises UsageError if a folder holds no mask, or two of one name.
    """
    found, wanted = _listed(predictions), _listed(references)
    left = dict(found)
    pairs: dict[str, MaskPair] = {}
    for name, reference in wanted.items():
        key = name if name in left else _tail(name, left)
        pairs[name] = MaskPair(name, reference, None if key is None else left.pop(key))
    missing = [name for name, pair in pairs.items() if pair.prediction is None and pair.reference.format == DICOM]
    if missing and any(mask.format == DICOM for mask in left.values()):
        sources = {uid: key for key, mask in left.items() if mask.format == DICOM for uid in source_uids(mask, readers)}
        for name in missing:
            keys = {sources[uid] for uid in source_uids(wanted[name], readers) if uid in sources} & set(left)
            if len(keys) == 1:
                pairs[name] = MaskPair(name, wanted[name], left.pop(keys.pop()))
    return tuple(pairs.values()), tuple(left.values())


def _listed(folder: Path) -> dict[str, MaskFile]:
    masks = by_key(list_masks(folder))
    if not masks:
        raise UsageError(f"{folder} holds no mask of a format segcli reads")
    if folder.is_file():
        return {".": next(iter(masks.values()))}
    return masks


def _tail(name: str, among: dict[str, MaskFile]) -> str | None:
    """The one key that ends in ``name`` or is its end: one of the folders may lie deeper than the other."""
    wanted = PurePosixPath(name).parts
    fitting = []
    for key in among:
        parts = PurePosixPath(key).parts
        shorter = min(len(parts), len(wanted))
        if parts[-shorter:] == wanted[-shorter:]:
            fitting.append(key)
    return fitting[0] if len(fitting) == 1 else None
