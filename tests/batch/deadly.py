"""Started by tests: ``segcli predict`` whose network does something terrible when it meets one case.

Arguments: deed, name of the case, then the command line. ``exit`` kills the process, ``sleep`` never comes back,
``signal``/``signals`` send SIGINT once or twice, ``term``/``terms`` SIGTERM, ``full`` finds the disk
full when the mask is written.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from typing import Any

from segcli.batch import run as run_module
from segcli.batch import runner, watchdog
from segcli.cli.main import run
from segcli.engine.segmenter import Segmenter
from segcli.errors import WriteError


def main() -> int:
    deed, name, *arguments = sys.argv[1:]
    original = Segmenter.segment

    def segment(self: Segmenter, cases: Any, *rest: Any) -> Any:
        def watched() -> Any:
            for key, parts in cases:
                if key.job.case.name == name:
                    act(deed)
                yield key, parts

        return original(self, watched(), *rest)

    write = runner.write_mask

    def write_mask(target: Any, case: Any, *rest: Any) -> Any:
        if deed == "full" and case.name == name:
            raise WriteError("the disk is full") from OSError(errno.ENOSPC, "No space left on device")
        return write(target, case, *rest)

    Segmenter.segment = segment  # type: ignore[method-assign]
    runner.write_mask = write_mask
    watchdog.Watchdog.__init__.__defaults__ = (0.0,)  # no minute of grace
    assert run_module
    return run(arguments)


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
