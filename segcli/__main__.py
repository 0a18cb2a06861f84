"""``segcli`` and ``python -m segcli``."""

from __future__ import annotations

import io
import sys

from segcli.cli.main import run
from segcli.exit_code import ExitCode
from segcli.plugin_guard import exits_told


def main() -> None:
    """Run the command line and leave with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name or "mm³" in a Latin-1 or ASCII log ends no run
    exits_told(ExitCode.ENDED_EARLY)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
