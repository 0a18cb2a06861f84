"""Started by tests: ``segcli predict`` to which something terrible happens when it meets one case.

Arguments: deed, name of the case, then the command line. ``exit`` and ``kill`` end the process, ``sleep`` never comes
back from the network, ``signal``/``signals`` send SIGINT once or twice, ``term``/``terms`` SIGTERM, ``full`` finds the
disk full when the mask is written.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from typing import Any

from segcli.batch.observer import RunObserver
from segcli.batch.tools import Tools
from segcli.case import Case
from segcli.cli.main import run
from segcli.errors import WriteError
from segcli.formats.atomic import Written, write_mask


class Deadly(RunObserver):
    """Acts when the network begins with the case."""

    def __init__(self, deed: str, name: str) -> None:
        self.deed, self.name = deed, name
        self.met = False

    def on_start(self, case: Case) -> None:
        self.met = case.name == self.name

    def on_network(self, *, busy: bool) -> None:
        if busy and self.met:
            self.met = False
            act(self.deed)


def main() -> int:
    deed, name, *arguments = sys.argv[1:]

    def writing(target: Any, case: Case, *rest: Any) -> Written:
        if deed == "full" and case.name == name:
            raise WriteError("the disk is full") from OSError(errno.ENOSPC, "No space left on device")
        return write_mask(target, case, *rest)

    return run(arguments, Tools(write_mask=writing, observers=(Deadly(deed, name),), grace=0.0))


def act(deed: str) -> None:
    if deed == "exit":
        os._exit(9)
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "sleep":
        time.sleep(600)
    for word, number in (("signal", signal.SIGINT), ("term", signal.SIGTERM)):
        for _ in range({word: 1, f"{word}s": 2}.get(deed, 0)):
            os.kill(os.getpid(), number)
            time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
