"""Masks and reports written whole or not at all: temporary file beside the target, flush, read back, rename.

Whatever happens, the name of the target shows either what lay there before or the finished, verified file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segcli.case import Case
from segcli.errors import OutputExistsError, SegcliError, WriteError
from segcli.formats.interface import MaskRequest
from segcli.formats.table import FORMATS, load_format
from segcli.image import LabelMap
from segcli.regular_file import open_regular

TEMPORARY = ".segcli-tmp-"
"""How the name of every temporary file begins; a scan never reads them."""

NOT_READ_BACK = "the mask did not read back as it was written: check the disk, then run again"
_LITTLE_SPACE = 64 * 1024
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Written:
    """SHA-256 (hex) and size in bytes of the file as it lies on the disk."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Target:
    """Where a mask goes: ``path``, which must lie inside the folder ``output`` once links are resolved.

    ``token``: a word that tells this run's (or shard's) temporary files from others'. ``may_replace``: whether a file
    that lies there already is ours; if not, only an identical one is left in place.
    """

    path: Path
    output: Path
    token: str = ""
    may_replace: bool = True


class Draft:
    """The temporary file ``path`` beside its target, empty at first. ``word``: what tells it from other drafts."""

    def __init__(self, target: Target, private: bool, word: str) -> None:
        self._target, self._private = target, private
        # Some writers choose by the suffix, so it is kept; the rest of the name is short whatever the target is called.
        self.path = target.path.with_name(f"{TEMPORARY}{word}{_suffix(target.path.name)}")
        _create(self.path, private)

    def commit(self, verify: Callable[[Path], None]) -> Written:
        """Flush it, let ``verify`` raise if it is not right, and give it the target's name. Raises OSError."""
        if self._private:
            self.path.chmod(0o600)  # a library may have made the file anew
        written = _flushed(self.path)
        verify(self.path)
        if not self._target.may_replace and os.path.lexists(self._target.path):
            return _left_in_place(self._target.path, written)
        self.path.replace(self._target.path)
        flush_folder(self._target.path.parent)
        return written

    def discard(self) -> None:
        """Remove it if it is still there."""
        self.path.unlink(missing_ok=True)


def write_mask(
    target: Target, case: Case, masks: Sequence[LabelMap], request: MaskRequest, formats: Mapping[str, str] = FORMATS
) -> Written:
    """Write the masks of a case in its own format and verify what was written, pixel by pixel.

    Raises WriteError (see :func:`is_disk_full`), OutputExistsError, or what the format raises of
    :mod:`segcli.errors`; the temporary file is gone then.
    """
    source = load_format(case.format, formats)

    def write(temporary: Path) -> None:
        source.write(temporary, case, masks, request)

    def verify(temporary: Path) -> None:
        if not source.verify(temporary, case, masks, request):
            raise WriteError(NOT_READ_BACK)

    with as_write_error(target.path.parent):
        make_folders(target, request.settings.private)
        return _replace(target, request.settings.private, f"{target.token}-{case.id}", write, verify)


def write_bytes_atomically(path: Path, data: bytes, private: bool = False, token: str = "") -> Written:
    """Write a report or list; its folder must exist. ``token``: as in :class:`Target`. Raises WriteError.

    The temporary name depends on nothing else, so what a killed process left is replaced by the next.
    """
    with as_write_error(path.parent):
        word = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
        return _replace(Target(path, path.parent), private, f"{token}-{word}", lambda temporary: _fill(temporary, data))


def remove_stale_temporaries(folder: Path, token: str = "") -> int:
    """Remove what dead runs left below ``folder``: all temporary files, or those of one token. Returns how many.

    Only for whoever holds the lock of the folder (of the shard, with its token). Links are not followed.
    """
    removed = 0
    prefix = TEMPORARY + (f"{token}-" if token else "")
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    (Path(parent) / name).unlink()
                    removed += 1
    return removed


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the disk (or quota) being full is behind an error; the run should end then, not go through its cases."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        error = error.__cause__
    return False


def _replace(
    target: Target,
    private: bool,
    word: str,
    write: Callable[[Path], None],
    verify: Callable[[Path], None] = lambda _: None,
) -> Written:
    draft = Draft(target, private, word)
    try:
        write(draft.path)
        return draft.commit(verify)
    finally:
        draft.discard()


def _suffix(name: str) -> str:
    lower = name.lower()
    suffix = next((double for double in (".nii.gz", ".ome.tiff", ".ome.tif") if lower.endswith(double)), None)
    return suffix or Path(lower).suffix[:16]


def _create(temporary: Path, private: bool) -> None:
    temporary.unlink(missing_ok=True)
    mode = 0o600 if private else 0o666
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode))


def _fill(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)


def _flushed(path: Path) -> Written:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Written(digest, stream.seek(0, os.SEEK_END))


def flush_folder(folder: Path) -> None:
    """Make the rename itself last; some network file systems refuse this for folders, and then nothing can be done."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _left_in_place(path: Path, written: Written) -> Written:
    """What lies at a path that is not ours stays; it is as good as written if it is the same."""
    if not path.is_symlink() and path.is_file() and path.stat().st_size == written.size:
        with open_regular(path, follow_links=False) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == written.sha256:
                return written
    raise OutputExistsError("a file that segcli did not write lies at the output path: choose another -o, or move it")


def make_folders(target: Target, private: bool) -> None:
    """The mirrored folders, one by one; none may be a link that leads out of the output folder."""
    output = target.output.resolve()
    relative = target.path.absolute().relative_to(target.output.absolute())
    if ".." in relative.parts or not relative.parts:
        raise WriteError("the output path leads out of the output folder: rename the input")
    folder = target.output
    folder.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    for part in relative.parts[:-1]:
        parent, folder = folder, folder / part
        try:
            folder.mkdir(mode=0o700 if private else 0o777)
        except FileExistsError:
            pass
        else:
            flush_folder(parent)
        # Below a folder that lies inside, only a link leads out: to resolve every folder would be quadratic.
        if folder.is_symlink() and not folder.resolve().is_relative_to(output):
            raise WriteError("a link in the output folder leads out of it: remove the link or choose another -o")


@contextlib.contextmanager
def as_write_error(folder: Path) -> Iterator[None]:
    """One line for whatever goes wrong; the OSError stays as the cause. Libraries' texts may hold header values."""
    try:
        yield
    except SegcliError as error:
        if is_disk_full(error) and not isinstance(error, WriteError):
            raise WriteError(_text(errno.ENOSPC)) from error
        raise
    except OSError as error:
        raise WriteError(_text(error.errno)) from error
    except Exception as error:
        if _is_full(folder):  # libraries in C report a full disk as something else
            raise WriteError(_text(errno.ENOSPC)) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise WriteError(f"the mask could not be written ({type(error).__name__}): please report this") from error


def _text(number: int | None) -> str:
    if number in _DISK_FULL:
        return "the disk of the output folder is full: make room, then run again"
    if number == errno.ENAMETOOLONG:
        return "the path of its mask would be too long for the file system: rename the input, or choose a shorter -o"
    reason = os.strerror(number) if number else "input/output error"
    return f"the output could not be written ({reason}): check the output folder, then run again"


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _LITTLE_SPACE
    except OSError:
        return False
