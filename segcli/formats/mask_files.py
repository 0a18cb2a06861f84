"""The mask files of a folder, each with its format and with what its case is called."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segcli.errors import UsageError
from segcli.formats.table import HEAD, recognise
from segcli.regular_file import NotRegularError, open_regular

_SUFFIX = re.compile(r"\.(nii\.gz|ome\.tiff?|nii|png|jpe?g|tiff?|nrrd|nhdr|mha|mhd|dcm)$", re.IGNORECASE)
_FIRST_CHANNEL = re.compile(r"_0000$")


@dataclass(frozen=True)
class MaskFile:
    """``format``: key of the table of formats. ``key``: path below the folder without what is no part of its name."""

    format: str
    path: Path
    key: str


def list_masks(folder: Path) -> list[MaskFile]:
    """Every file below ``folder`` (or the one file) that a format recognises, by name; hidden ones are passed over.

    Links are followed. Raises UsageError for a file that cannot be read.
    """
    if folder.is_file():
        paths, root = [folder], folder.parent
    else:
        paths, root = sorted(files_below(folder)), folder
    masks = []
    for path in paths:
        try:
            with open_regular(path) as stream:
                name = recognise(stream.read(HEAD))
        except NotRegularError:
            continue  # a pipe or device among the files is no mask
        except OSError as error:
            raise UsageError(f"{path}: it cannot be read ({error.strerror})") from error
        if name is not None:
            masks.append(MaskFile(name, path, key_of(PurePosixPath(path.relative_to(root)))))
    return masks


def key_of(name: PurePosixPath) -> str:
    """What a case is called: ``a_0000.nii.gz``, ``a.jpg.png`` and ``a.nii`` are all ``a``; folders are kept.

    However an accented letter is put together, it is one and the same.
    """
    name = PurePosixPath(unicodedata.normalize("NFC", str(name)))
    stem = name.name
    while (shorter := _SUFFIX.sub("", stem)) not in (stem, ""):
        stem = shorter
    return str(name.with_name(_FIRST_CHANNEL.sub("", stem) or stem)) if stem else str(name)


def files_below(folder: Path) -> list[Path]:
    """All files but hidden ones, linked folders included, each folder once."""
    found: list[Path] = []
    entered: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:  # a link back into the folder
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent) / name for name in names if not name.startswith(".")]
    return found
