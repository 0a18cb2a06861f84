"""The program in which every decoder runs: ``python -m segcli.formats.reader_process DESCRIPTOR``.

It may be killed at any time, and hostile files may kill it: all it holds is the one request it works on, or the one
case that lies open to be read in bands. Its memory is limited for each request (:mod:`segcli.formats.limits`).
It answers requests on the socket given to it until that is closed. It leaves no core dump (that would hold patient
data), is the kernel's first choice when memory runs out, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segcli.case import Case
from segcli.formats import limits, messages, wire
from segcli.formats.interface import InputFiles, OpenBands
from segcli.formats.pixel_memory import PixelMemory
from segcli.formats.table import load_format
from segcli.image import Image, Json, LabelMap

PROTOCOL = 1
_PR_SET_PDEATHSIG = 1
_OUT_OF_MEMORY_SCORE = "500"


def main() -> None:
    """Serve the socket whose descriptor is the only argument."""
    _settle_in()
    with socket.socket(fileno=int(sys.argv[1])) as connection, contextlib.suppress(wire.BrokenWire, OSError):
        _Service(connection).run()
    os._exit(0)  # libraries' threads and exit handlers have nothing to add


class _Service:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._receiver = wire.Receiver(connection)
        self._formats: Mapping[str, str] = {}
        self._folder: str | None = None
        self._bands: tuple[OpenBands, ...] = ()

    def run(self) -> None:
        hello = self._receiver.wait()
        self._formats, self._folder = hello["formats"], hello["folder"]
        wire.send(self._connection, {"ready": PROTOCOL})
        answers: Mapping[str, Callable[[Json], None]] = {
            "describe": self._describe,
            "read": self._read,
            "band": self._band,
            "read_labels": self._read_labels,
        }
        while True:
            request = self._receiver.wait()
            answers[request["do"]](request)

    def _describe(self, request: Json) -> None:
        """One frame a file, sent at once, so that the main process knows on which file a reader died."""
        for path in request["paths"]:
            try:
                answer = self._described(request["format"], Path(path), request["keywords"])
            except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the file's failure
                answer = messages.error_to_json(error)
            wire.send(self._connection, answer)

    def _described(self, name: str, path: Path, keywords: list[str]) -> Json:
        source = load_format(name, self._formats)
        limits.begin_request(_stored([path]))
        file = wire.plain(messages.description_to_json(source.describe(path, keywords)))
        messages.description_from_json(file, source)  # what makes no sense must fail here, where it fails one file
        return {"file": file}

    def _read(self, request: Json) -> None:
        self._close_bands()

        def decode() -> tuple[tuple[Image, ...], Json]:
            start = time.monotonic()
            source = load_format(request["case"]["format"], self._formats)
            case = Case.from_json(request["case"], source.details_of_case)
            limits.begin_request(_stored(case.files))
            files = InputFiles(case.files, follow_links=case.linked)
            result = source.read(case, messages.request_from_json(request["request"]), files)
            self._bands = result.bands
            remarks = {
                "bands": messages.bands_to_json(result.bands),
                "warnings": list(result.warnings),
                "digest": files.digest(),
            }
            return result.parts, remarks | {"seconds": time.monotonic() - start}

        self._deliver(decode)

    def _band(self, request: Json) -> None:
        def decode() -> tuple[tuple[Image, ...], Json]:
            limits.begin_request(0)
            part = self._bands[request["part"]]
            return (Image(part.read(request["slice"], *request["rows"])[np.newaxis]),), {}

        self._deliver(decode)

    def _close_bands(self) -> None:
        for part in self._bands:
            part.close()
        self._bands = ()

    def _read_labels(self, request: Json) -> None:
        def decode() -> tuple[tuple[LabelMap, ...], Json]:
            path = Path(request["path"])
            source = load_format(request["format"], self._formats)
            limits.begin_request(_stored([path]))
            return source.read_labels(path), {}

        self._deliver(decode)

    def _deliver(self, decode: Callable[[], tuple[tuple[Image, ...] | tuple[LabelMap, ...], Json]]) -> None:
        memory = None
        try:
            memory = PixelMemory(self._folder)
            parts, remarks = decode()
            answer = {"fd": True, "parts": messages.parts_to_json(parts, memory), **remarks}
            wire.plain(answer["parts"])
            memory.seal()
        except Exception as error:  # noqa: BLE001 - as above
            wire.send(self._connection, messages.error_to_json(error))
        else:
            wire.send(self._connection, answer, memory.descriptor)
        finally:
            if memory is not None:
                memory.close()


def _stored(paths: Iterable[Path]) -> int:
    """Bytes of the files on the disk; those that cannot be looked at are told when they are read."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _settle_in() -> None:
    """Signals, limits and the bond to the parent; what a system does not offer is done without."""
    # Ctrl-C goes to the whole terminal, a service manager's SIGTERM to the whole group; the parent decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        _limit_memory()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, encoding="ascii")
        with contextlib.suppress(OSError, AttributeError):
            prctl: Any = ctypes.CDLL(None).prctl
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory() -> None:
    """No more address space than the machine has memory: a header that lies about sizes then ends in MemoryError."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or physical < hard:
        resource.setrlimit(resource.RLIMIT_AS, (max(physical, 4 * 1024**3), hard))


if __name__ == "__main__":
    main()
