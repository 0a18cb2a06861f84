"""Every file below the inputs, each once, in an order that does not depend on the file system.

No file is opened here but a manifest. Folders that segcli wrote (they hold one), hidden folders and links that lead
out are told as one entry each and not entered.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from segcli.errors import UsageError
from segcli.regular_file import open_regular

_MANIFEST = re.compile(r"manifest(-\d+-of-\d+)?\.jsonl(\.bad-\d+)?")  # --rebuild sets a manifest aside
ID_DIGITS = 12
MANIFEST_START = b'{"segcli_manifest"'
"""How every manifest of segcli begins; other programs keep files of that name too."""


@dataclass(frozen=True)
class Found:
    """A regular file. ``relative``: its path below the output folder (mirroring). ``identity``: what ids are made of:
    the input's name and the path below it. ``modified``: seconds since 1970 of the last change to its bytes or entry
    (a copy that keeps old times is still new here). ``linked``: the path is a link to it.
    """

    path: Path
    relative: PurePosixPath
    identity: PurePosixPath
    size: int
    modified: float
    linked: bool = False

    def id(self, key: bytes) -> str:
        """Of the case that the file is; see :func:`case_id`."""
        return case_id(key, self.identity)


@dataclass(frozen=True)
class Passed:
    """A file or folder that is not looked into, and why."""

    path: Path
    relative: PurePosixPath
    identity: PurePosixPath
    status: Literal["skipped", "failed"]
    reason: str

    def id(self, key: bytes) -> str:
        """See :func:`case_id`."""
        return case_id(key, self.identity)


@dataclass
class Walked:
    """All that lies below the inputs."""

    files: list[Found] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)


def case_id(key: bytes, name: str | PurePosixPath) -> str:
    """12 hex digits: HMAC-SHA256 under ``key``, random and kept in the output folder: an id in a log tells nothing.

    ``name``: input name and relative POSIX path; composed (NFC), so that macOS and Linux agree.
    """
    text = unicodedata.normalize("NFC", str(name))
    return hmac.new(key, os.fsencode(text), hashlib.sha256).hexdigest()[:ID_DIGITS]


def walk(inputs: Sequence[Path], follow_links: bool = False) -> Walked:
    """Files of folders and single files.

    A file reached twice (by real path) is listed where it is met first, real files before links. Raises UsageError if
    an input does not exist or two have the same last part.
    """
    roots = [_root(path) for path in inputs]
    for name, count in Counter(root.name for root in roots).items():
        if count > 1:
            raise UsageError(f"two inputs are called {name}: their masks would share a folder; run them one by one")
    walker = _Walker([root.real for root in roots], follow_links)
    for root in roots:
        walker.enter(root, several=len(roots) > 1)
    walker.take_links()
    return walker.walked


@dataclass(frozen=True)
class _Root:
    path: Path
    real: str
    name: str


@dataclass(frozen=True)
class _Place:
    """A path as it was given, as it really is, and as it will be called."""

    path: str
    real: str
    relative: PurePosixPath
    identity: PurePosixPath

    def child(self, name: str) -> _Place:
        real = os.path.join(self.real, name)  # noqa: PTH118 - 100,000 times; strings are ten times faster
        return _Place(
            os.path.join(self.path, name),  # noqa: PTH118
            real,
            self.relative / name,
            self.identity / name,
        )


def _root(path: Path) -> _Root:
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file or folder") from None
    except (OSError, RuntimeError):
        raise UsageError(f"{path}: cannot be reached; check the path and its rights") from None
    return _Root(path, str(real), input_name(path))


def input_name(path: Path) -> str:
    """What an input is called: "scans" and a link "scans" so; ".", ".." and "/" have no name of their own."""
    return (path.name if path.name not in ("", "..") else path.resolve().name) or "root"


class _Walker:
    def __init__(self, roots: Sequence[str], follow_links: bool) -> None:
        self._roots, self._follow = frozenset(roots), follow_links
        self._seen: set[str] = set()
        self._hidden: set[str] = set()
        self._links: list[_Place] = []
        self.walked = Walked()

    def enter(self, root: _Root, several: bool) -> None:
        identity = PurePosixPath(root.name)
        is_folder = Path(root.real).is_dir()
        relative = identity if several or not is_folder else PurePosixPath()
        place = _Place(str(root.path), root.real, relative, identity)
        if is_folder:
            self._take_folder(place)
        else:
            self._take_file(place, linked=root.path.is_symlink())

    def take_links(self) -> None:
        """Links come last, so that a file is called by its own name where that lies among the inputs too."""
        while self._links:
            links, self._links = self._links, []
            for link in links:
                self._take_link(link)

    def _take_folder(self, top: _Place) -> None:
        pending = [top]  # no recursion: a tree may be deeper than Python's stack
        while pending:
            place = pending.pop()
            if place.real in self._seen:
                continue
            self._seen.add(place.real)
            try:
                with os.scandir(place.path) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                too_long = error.errno == errno.ENAMETOOLONG
                reason = "its path is too long for the system: move it up" if too_long else "check its rights"
                self._pass(place, "failed", f"the folder cannot be listed: {reason}")
                continue
            if any(self._is_manifest(entry) for entry in entries):
                self._pass(place, "skipped", "an output folder of segcli (it holds a manifest)")
                continue
            pending += reversed(self._folders_among(place, entries))

    def _folders_among(self, place: _Place, entries: Iterable[os.DirEntry[str]]) -> list[_Place]:
        folders = []
        for entry in entries:
            child = place.child(entry.name)
            try:
                is_link, is_folder = entry.is_symlink(), entry.is_dir(follow_symlinks=False)
            except OSError:
                self._pass(child, "failed", "it cannot be reached: check its rights")
                continue
            if entry.name.startswith("."):
                self._seen.add(child.real)
                if is_folder:
                    self._hidden.add(child.real)
                self._pass(child, "skipped", f"a hidden {'folder' if is_folder else 'file'}")
            elif is_link:
                self._links.append(child)
            elif is_folder:
                folders.append(child)
            else:
                self._take_file(child)
        return folders

    def _take_file(self, place: _Place, *, linked: bool = False) -> None:
        if place.real in self._seen:
            return
        self._seen.add(place.real)
        try:
            status = os.stat(place.real)  # noqa: PTH116 - as above
        except OSError:
            self._pass(place, "failed", "the file cannot be reached: check its rights")
            return
        if not stat.S_ISREG(status.st_mode):
            self._pass(place, "skipped", "not an image (a pipe, socket or device)")
            return
        modified = max(status.st_mtime, status.st_ctime)  # cp -p, rsync -a and unzip set st_mtime back, never st_ctime
        found = Found(Path(place.path), place.relative, place.identity, status.st_size, modified, linked)
        self.walked.files.append(found)

    def _take_link(self, link: _Place) -> None:
        try:
            os.stat(link.path)  # noqa: PTH116 - the system gives up after 40 links, resolve follows thousands
            real = str(Path(link.path).resolve(strict=True))
        except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
            self._pass(link, "skipped", "a link that leads nowhere")
            return
        if not self._follow and not self._is_inside(real):
            self._pass(link, "skipped", "a link out of the input (--follow-links follows it)")
            return
        if real in self._seen or (self._is_inside(real) and not self._is_hidden(real)):
            # It has been walked under its own name already, or passed over for a reason that has been told.
            return
        target = _Place(link.path, real, link.relative, link.identity)
        if Path(real).is_dir():
            self._take_folder(target)
        else:
            self._take_file(target, linked=True)

    def _is_manifest(self, entry: os.DirEntry[str]) -> bool:
        """Only a file that begins as one does: a pipe, a folder or an empty file of that name hides no images."""
        if not _MANIFEST.fullmatch(entry.name):
            return False
        try:
            if entry.is_symlink():
                entry.stat()  # raises for a chain of links without end
                if not (self._follow or self._is_inside(os.path.realpath(entry.path))):
                    return False
            with open_regular(entry.path) as file:
                return file.read(len(MANIFEST_START)) == MANIFEST_START
        except OSError:
            return False  # a file that cannot be read is told as such

    def _is_hidden(self, real: str) -> bool:
        """Whether it lies in a hidden folder of the inputs, as every file of a DataLad or git-annex data set does.

        Such a file has no other visible name than the link.
        """
        return any(str(folder) in self._hidden for folder in Path(real).parents)

    def _is_inside(self, real: str) -> bool:
        return real in self._roots or any(str(folder) in self._roots for folder in Path(real).parents)

    def _pass(self, place: _Place, status: Literal["skipped", "failed"], reason: str) -> None:
        self.walked.passed.append(Passed(Path(place.path), place.relative, place.identity, status, reason))
