"""What a run gets from whoever starts it, beside its settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from segcli.batch.masks import WriteMask
from segcli.batch.observer import RunObserver
from segcli.batch.watchdog import GRACE
from segcli.formats.atomic import write_mask
from segcli.formats.readers import Readers


@dataclass
class Interrupt:
    """How a signal reaches the run. ``code``: its exit code, None while none came.

    ``at_once``: nothing is in flight that is worth finishing, so the first signal is to end the run like the second.
    """

    code: int | None = None
    at_once: bool = True


@dataclass(frozen=True)
class Tools:
    """What a run works with; a test gives its own. ``grace``: see :data:`segcli.batch.watchdog.GRACE`."""

    readers: Callable[[int, Path], AbstractContextManager[Readers]] = Readers
    write_mask: WriteMask = write_mask
    version: Callable[[str], str] = version
    observers: tuple[RunObserver, ...] = ()
    grace: float = GRACE
