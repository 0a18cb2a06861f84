"""The files a report is written to, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.formats.atomic import write_bytes_atomically
from segcli.regular_file import NotRegularError, open_regular
from segcli.reporting.page import report_html
from segcli.reporting.volumes import COLUMNS, volumes_csv

if TYPE_CHECKING:
    from segcli.image import Json

_MARKS = {"report.json": b'"schema"', "volumes.csv": ",".join(COLUMNS).encode(), "report.html": b"<title>segcli"}
"""Words within the first 1000 bytes of a file of ours."""


def report_name(shard: tuple[int, int] | None, kind: str = "report.json") -> str:
    """``report.json``, or ``report-i-of-n.json`` of a shard; so for the other kinds."""
    stem, _, suffix = kind.partition(".")
    return kind if shard is None else f"{stem}-{shard[0]}-of-{shard[1]}.{suffix}"


def write_tables(folder: Path, content: Json, *, private: bool, token: str = "") -> None:
    """``volumes.csv`` and ``report.html``. Raises WriteError."""
    shard = None if content["shard"] is None else (content["shard"][0], content["shard"][1])
    for kind, data in (("volumes.csv", volumes_csv(content)), ("report.html", report_html(content))):
        write_bytes_atomically(folder / report_name(shard, kind), data, private, token)


def write_report(folder: Path, content: Json, *, private: bool, token: str = "") -> None:
    """All three, ``report.json`` last: where it lies, the others belong to it. Raises WriteError.

    ``token``: the word in temporary names by which the next run of this folder or shard knows them for its own.
    """
    write_tables(folder, content, private=private, token=token)
    shard = None if content["shard"] is None else (content["shard"][0], content["shard"][1])
    data = (json.dumps(content, indent=1) + "\n").encode()
    write_bytes_atomically(folder / report_name(shard), data, private, token)


def refuse_strangers(folder: Path, shard: tuple[int, int] | None, *, begun: bool) -> None:
    """Raise UsageError if what segcli did not write lies where a report would go. Raises OSError too.

    ``begun``: segcli has run here before, so a file of that name is its own; a folder, pipe or link never is.
    """
    for kind, mark in _MARKS.items():
        path = folder / report_name(shard, kind)
        try:
            with open_regular(path, follow_links=False) as stream:
                if not begun and mark not in stream.read(1000):
                    raise UsageError(f"{path}: segcli did not write it and would replace it: choose another -o")
        except FileNotFoundError:
            continue
        except NotRegularError as error:
            raise UsageError(
                f"{path}: {error.strerror}; segcli writes one of that name: move it away, or choose another -o"
            ) from error
