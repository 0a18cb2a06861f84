"""How a data set lies on the disk: nnU-Net's raw layout, a folder of images beside one of masks, or each mask beside
its image, in one folder or in folders of patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segcli.errors import UsageError
from segcli.formats.mask_files import files_below, key_of
from segcli.pairing.names import Numbered, mask_name
from segcli.strict_json import read_object

DESCRIPTION = "dataset.json"
MOST_DESCRIPTION = 64 * 2**20
"""Bytes of it: some list every case."""
IMAGE_FOLDERS = ("images", "image", "img", "imgs")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "segmentations")


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie. ``channels`` and ``labels`` (value → name) are None where nothing states them.

    ``together``: each mask lies beside its image, called as it is and ``_mask``. ``numbered``: what the numbers of
    ``a_mask_1`` and ``a_mask_2`` are. ``notes``: what must be told once the files have been listed.
    """

    images: Path
    masks: Path
    name: str
    channels: tuple[str, ...] | None = None
    labels: Mapping[int, str] | None = None
    license: str = ""
    attribution: str = ""
    together: bool = False
    numbered: Numbered | None = None
    notes: tuple[str, ...] = ()


def read_layout(folder: Path) -> Layout:
    """The layout of ``folder``. Raises UsageError saying what is missing, or what of ``dataset.json`` is not usable."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give a data set, i.e. a folder with images and masks")
    if (folder / DESCRIPTION).is_file():
        return _nnunet(folder)
    images = [folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    masks = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    if not images and not masks and _holds_named_masks(folder):
        return Layout(folder, folder, folder.resolve().name, together=True)
    if len(images) != 1 or len(masks) != 1:
        raise UsageError(
            f"{folder} is not a data set: it should hold {DESCRIPTION}, imagesTr and labelsTr (nnU-Net's raw layout), "
            "or one folder images and one folder masks, or images with their masks beside them (a.png, a_mask.png)"
        )
    return Layout(images[0], masks[0], folder.resolve().name)


def _holds_named_masks(folder: Path) -> bool:
    return any(mask_name(key_of(PurePosixPath(path.name))) is not None for path in files_below(folder))


def _nnunet(folder: Path) -> Layout:
    path = folder / DESCRIPTION
    description = read_object(path, MOST_DESCRIPTION)
    for name in ("imagesTr", "labelsTr"):
        if not (folder / name).is_dir():
            raise UsageError(f"{folder}: the folder {name} is missing")
    channels = description.get("channel_names", description.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise UsageError(f"{path}: channel_names must be an object such as {{'0': 'T1'}}")
    try:
        ordered = sorted((int(key), str(name)) for key, name in channels.items())
    except ValueError as error:
        raise UsageError(f"{path}: channel_names must be numbered from 0") from error
    if [number for number, _ in ordered] != list(range(len(ordered))):
        raise UsageError(f"{path}: channel_names must be numbered from 0 without a gap")
    return Layout(
        images=folder / "imagesTr",
        masks=folder / "labelsTr",
        name=str(description.get("name") or folder.resolve().name),
        channels=tuple(name for _, name in ordered),
        labels=_labels(description.get("labels"), path),
        license=str(description.get("licence") or description.get("license") or ""),
        attribution=str(description.get("reference") or ""),
    )


def _labels(stated: Any, path: Path) -> Mapping[int, str]:
    """``{"background": 0, "tumour": 1}`` (nnU-Net 2) or ``{"0": "background", "1": "tumour"}`` (nnU-Net 1)."""
    if not isinstance(stated, dict) or not stated:
        raise UsageError(f"{path}: labels must be an object such as {{'background': 0, 'tumour': 1}}")
    found: dict[int, str] = {}
    for key, value in stated.items():
        if isinstance(value, list):
            raise UsageError(f"{path}: label {key!r} is a region of several values, which segcli does not train")
        name, number = (key, value) if isinstance(value, int) else (str(value), key)
        if name == "ignore":
            raise UsageError(f"{path}: the label 'ignore' is not supported: every pixel must have a label")
        try:
            number = int(number)
        except ValueError as error:
            raise UsageError(f"{path}: label {key!r} has no whole number") from error
        if not 0 <= number <= 65535 or number in found:
            raise UsageError(f"{path}: label values must be different whole numbers from 0 to 65535")
        found[number] = name
    found.pop(0, None)
    if not found:
        raise UsageError(f"{path}: labels names the background only")
    return found
