"""The place of one reader process in the pool: who starts it, replaces it, and tells what its loss means for a case."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeAlias

from segcli.errors import SegcliError, UnreadableError, UsageError
from segcli.formats import messages
from segcli.formats.interface import Description, Format
from segcli.formats.reader_client import ReaderClient, ReaderLate, ReaderLost, late
from segcli.formats.table import load_format
from segcli.image import Json

DESCRIBE_LIMIT = 60.0
"""Seconds to read the header of one file."""

Described: TypeAlias = Description | SegcliError
"""What the header of a file says, or the error that tells why it says nothing."""


class WorkerSlot:
    """The place of one reader: starts one when there is none, and turns its losses into errors of the case."""

    def __init__(self, formats: Mapping[str, str], folder: Path | None, closed: threading.Event) -> None:
        self._formats, self._folder, self._closed = formats, folder, closed
        self._client: ReaderClient | None = None
        self._started = False

    @property
    def pid(self) -> int | None:
        """Process id of its reader; None if there is none."""
        client = self._client
        return None if client is None else client.pid

    def client(self) -> ReaderClient:
        """The running reader, or a new one; a start that fails is tried once more."""
        if self._client is None:
            try:
                self._client = self._start()
            except UsageError:
                try:
                    self._client = self._start()
                except UsageError as error:
                    if self._started:  # it could be started before: no fault of the set-up, and the run goes on
                        raise UnreadableError(f"its reader died, and {error}") from None
                    raise
            self._started = True
        return self._client

    def _start(self) -> ReaderClient:
        return ReaderClient(self._formats, self._folder, self._closed.is_set)

    def empty(self) -> None:
        """End its reader, if there is one."""
        if self._client is not None:
            self._client.kill()
            self._client = None

    def fetch(self, request: Json, seconds: float) -> tuple[Json, list[Any]]:
        """An answer with pixels, and its arrays. Raises the error the reader sent, or that of its loss."""
        client = self.client()
        try:
            return client.fetch(request, seconds)
        except ReaderLost:
            self.empty()
            raise client.loss() from None
        except ReaderLate:
            self.empty()
            raise late(seconds) from None

    def give_up(self) -> ReaderClient:
        """The reader, for a case that lies open in it; another is started when one is next needed here."""
        client, self._client = self.client(), None
        return client

    def describe(self, request: Json, paths: Sequence[Path]) -> list[Described]:
        """What the files say, in order; a file on which the reader died has that as its error, the others go on."""
        source = load_format(request["format"], self._formats)
        found: list[Described] = []
        while len(found) < len(paths):
            client = self.client()
            try:
                client.send({**request, "paths": [str(path) for path in paths[len(found) :]]})
                while len(found) < len(paths):
                    found.append(_description(client.receive(DESCRIBE_LIMIT), source))
            except ReaderLost:
                self.empty()
                found.append(client.loss())
                if self._closed.is_set():
                    raise CancelledError from None
            except ReaderLate:
                self.empty()
                found.append(late(DESCRIBE_LIMIT))
        return found


def _description(answer: Json, source: Format) -> Described:
    if "error" in answer:
        return messages.error_from_json(answer)
    return messages.description_from_json(answer["file"], source)
