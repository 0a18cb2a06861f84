"""Whom a run tells what happens, while it happens; the console is one."""

from __future__ import annotations

from segcli.outcome import Outcome


class Listener:
    """Hears nothing by itself; the calls come from several threads, one at a time."""

    def planned(self, total: int, settled: int) -> None:
        """So many cases there are, of which so many need nothing."""

    def finished(self, outcome: Outcome) -> None:
        """What became of a case."""

    def notice(self, text: str) -> None:
        """Something to know that belongs to no case; holds no path and no header value."""
