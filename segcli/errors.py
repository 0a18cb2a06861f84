"""Every error segcli raises on purpose, with the exit code it leads to and what the user does next.

::

    SegcliError                     70  base class; never raised itself
    ├── UsageError                   2  correct the command line or the set-up, run again; nothing was started
    │   ├── ModelError               2  the model folder, its card or its weights are not usable
    │   └── PluginError              2  no such plugin, two of one name, or one that does not load
    ├── NothingToDoError             3  no case is left after the scan: check the input path and --select
    └── CaseError                    1  one case cannot be segmented; the run goes on with the next
        ├── UnreadableError          1  the file is damaged or of a kind no decoder reads: repair or convert it
        ├── UnsupportedError         1  the file is sound, but the model or segcli cannot represent what it holds
        ├── OutputExistsError        1  a file that is not ours lies at the output path: choose another -o
        └── WriteError               1  the mask could not be written or did not read back as written

    SkippedCase                      –  no error: the file is not an image for this model (reason in the report)

A message is one line: what is wrong, where, what to do next. It never holds a value from a file's header.
"""

from __future__ import annotations

from collections.abc import Mapping

from segcli.exit_code import ExitCode


class SegcliError(Exception):
    """Base of all errors raised on purpose. ``str(error)`` is one line for a user."""

    exit_code = ExitCode.ENDED_EARLY


class UsageError(SegcliError):
    """The command or the set-up is wrong and nothing was started."""

    exit_code = ExitCode.USAGE


class ModelError(UsageError):
    """A model folder, its card or its weights cannot be used as they are."""


class PluginError(UsageError):
    """A plugin is unknown, ambiguous or broken."""


class NothingToDoError(SegcliError):
    """No case is left after scanning the inputs."""

    exit_code = ExitCode.NOTHING_TO_DO


class CaseError(SegcliError):
    """One case failed; the run goes on."""

    exit_code = ExitCode.SOME_FAILED


class UnreadableError(CaseError):
    """The file was recognised as an image but cannot be decoded."""


class UnsupportedError(CaseError):
    """The image is sound but cannot be represented or segmented truthfully."""


class OutputExistsError(CaseError):
    """A file that this output folder's manifest does not list lies at the output path."""


class WriteError(CaseError):
    """The mask could not be written, or did not read back as it was written."""


class SkippedCase(SegcliError):  # noqa: N818 - not an error: the case is left out with a reason
    """The file is no image for this model; it is listed as skipped with this reason."""

    exit_code = ExitCode.DONE


ERRORS: Mapping[str, type[SegcliError]] = {
    name: value for name, value in vars().items() if isinstance(value, type) and issubclass(value, SegcliError)
}
"""By name, to raise them again in another process."""


def one_line(error: BaseException, most: int = 200, *, last: bool = False) -> str:
    """The first line with words in a stranger's error, without escape codes; the name of its class if there is none.

    For errors of plugins and exported files: nothing their text does gets out, not even ``sys.exit`` in ``__str__``.
    ``last``: the last such line, where torch puts what happened, after a traceback.
    """
    try:
        lines = ["".join(filter(str.isprintable, line)).strip() for line in str.__str__(str(error)).splitlines()]
        return next(filter(None, reversed(lines) if last else lines))[:most]
    except BaseException:  # noqa: BLE001 - no text, or one that fails
        return type(error).__name__
