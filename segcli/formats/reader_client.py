"""One reader process as the main process sees it: started, asked, watched, killed. Every wait has an end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segcli.errors import UnreadableError, UsageError
from segcli.formats import messages, wire
from segcli.formats.decoding import HUNGRY, NO_MEMORY, OUT_OF_DESCRIPTORS, TOO_MANY_FILES
from segcli.formats.pixel_memory import map_arrays
from segcli.image import Json

START_LIMIT = 60.0
"""Seconds a reader may take to start (a cold network file system)."""

CRASHED = "the decoder crashed on it: the file is damaged or of a kind it cannot read; repair or convert it"
STARVED = f"its decoder ended ({HUNGRY}): export it again, or convert it to a smaller one"
STOPPED = "the run was stopped"

_TICK = 0.2
_KEPT = 4096


class ReaderLost(Exception):  # noqa: N818 - what happened, not an error class for users
    """The reader died, talked nonsense, or was stopped on purpose."""


class ReaderLate(Exception):  # noqa: N818 - as above
    """The reader did not answer in time; it has been killed."""


class ReaderClient:
    """A running reader process. Raises UsageError if it cannot be started.

    ``stopped`` is looked at in every wait; once it returns True the wait ends with ReaderLost. stderr is drained and
    thrown away: libraries quote header values there.
    """

    def __init__(self, formats: Mapping[str, str], folder: Path | None, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._said = b""
        self._crowded = False
        try:
            self._start()
        except OSError as error:
            raise UsageError(f"no reader process can be started: {error.strerror}{_advice(error)}") from error
        self._greet(formats, folder)

    def _start(self) -> None:
        """Raises OSError; nothing is left open then."""
        with contextlib.ExitStack() as undo:
            self._connection, theirs = socket.socketpair()
            undo.callback(self._connection.close)
            with theirs:
                self._selector = undo.enter_context(selectors.DefaultSelector())
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "segcli.formats.reader_process", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                    process_group=0,  # Ctrl-C must not reach it, not even while it starts
                )
            undo.pop_all()
        self._receiver = wire.Receiver(self._connection)
        self._selector.register(self._connection, selectors.EVENT_READ)
        if self._process.stderr is not None:
            os.set_blocking(self._process.stderr.fileno(), False)
            self._selector.register(self._process.stderr, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _greet(self, formats: Mapping[str, str], folder: Path | None) -> None:
        how = f"no answer within {START_LIMIT:g} seconds"
        try:
            self.send({"formats": dict(formats), "folder": None if folder is None else str(folder)})
            self.receive(START_LIMIT)
        except ReaderLost:
            how = self._end()
        except ReaderLate:
            pass
        else:
            return
        self.kill()
        # No image has been opened yet, so this holds no header value.
        last = self._said.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"reader processes do not start: {'; '.join([how, *last])} (segcli doctor tells more)")

    def _end(self) -> str:
        """How the process ended by itself."""
        try:
            code = self._process.wait(_TICK)
        except subprocess.TimeoutExpired:
            return "no sensible answer"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def send(self, request: Json) -> None:
        """Hand over a request. Raises ReaderLost."""
        self._said = b""
        try:
            self._connection.settimeout(START_LIMIT)
            wire.send(self._connection, request)
        except OSError:
            raise ReaderLost from None

    def receive(self, seconds: float) -> Json:
        """The next answer. Raises ReaderLost, or ReaderLate after ``seconds`` (the reader is killed then)."""
        end = time.monotonic() + seconds
        try:
            while (message := self._receiver.frame()) is None:
                if self._stopped():
                    raise ReaderLost
                left = end - time.monotonic()
                if left <= 0:
                    self.kill()
                    raise ReaderLate
                self._take(min(left, _TICK))
        except (wire.BrokenWire, OSError) as error:
            self._crowded = isinstance(error, wire.NoDescriptor)
            self.kill()
            raise ReaderLost from None
        return message

    def _take(self, seconds: float) -> None:
        """Take what arrives within ``seconds``; the answer last, so that stderr before a death is seen."""
        ready = [key.fileobj for key, _ in self._selector.select(seconds)]
        if self._process.stderr in ready:
            self._drain()
        if self._connection in ready:
            self._connection.settimeout(START_LIMIT)
            self._receiver.fill()

    def _drain(self) -> None:
        stream = self._process.stderr
        if stream is None:
            return
        try:
            data = os.read(stream.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(stream)
        self._said = (self._said + data)[-_KEPT:]

    def fetch(self, request: Json, seconds: float) -> tuple[Json, list[NDArray[Any]]]:
        """The answer to a request for pixels, and its arrays.

        Raises the error the reader sent, ReaderLost, or ReaderLate after ``seconds`` (the reader is killed then).
        """
        self.send(request)
        answer = self.receive(seconds)
        if "error" in answer:
            raise messages.error_from_json(answer)
        if not answer.get("fd"):
            return answer, []
        try:
            descriptor = self._receiver.take_descriptor()
            try:
                return answer, map_arrays(descriptor, messages.places_of(answer["parts"]))
            finally:
                os.close(descriptor)
        except wire.BrokenWire:
            self.kill()
            raise ReaderLost from None
        except OSError as error:
            raise UnreadableError(f"its pixels cannot be held in memory: {error.strerror}{_advice(error)}") from error

    def loss(self) -> UnreadableError:
        """What ReaderLost means for the case that was being read."""
        if self._stopped():
            return UnreadableError(STOPPED)
        if self._crowded:
            return UnreadableError(TOO_MANY_FILES)
        said = self._said.decode(errors="replace").lower()
        return UnreadableError(STARVED if any(word in said for word in NO_MEMORY) else CRASHED)

    def kill(self) -> None:
        """End the process and give up everything held for it; may be called again."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(START_LIMIT)
        if self._process.stderr is not None and not self._process.stderr.closed:
            with contextlib.suppress(KeyError, OSError):
                self._drain()
            self._process.stderr.close()
        self._selector.close()
        self._receiver.close()
        self._connection.close()


def _advice(error: OSError) -> str:
    return " (raise the limit with ulimit -n)" if error.errno in OUT_OF_DESCRIPTORS else ""


def late(seconds: float) -> UnreadableError:
    """The error of a case whose reader took too long."""
    return UnreadableError(f"it was not read within {seconds:g} seconds: give it more time, or convert it")


def _environment() -> dict[str, str]:
    """The own environment; one thread for each library, and the running segcli importable without being installed.

    The reader starts with ``-P``: a ``numpy.py`` in the current folder must not be imported.
    """
    environment = dict(os.environ)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        environment.setdefault(variable, "1")
    root = str(Path(__file__).resolve().parents[2])
    installed = {str(Path(folder).resolve()) for folder in (*site.getsitepackages(), site.getusersitepackages())}
    if root not in installed:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    return environment
