"""How the main process and a reader process talk: length-prefixed JSON over a Unix socket, descriptors beside it.

A frame is four bytes of length (network order) and as many bytes of UTF-8 JSON. A frame whose object has ``"fd": true``
carries one descriptor (SCM_RIGHTS). Nothing is ever unpickled.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections import deque
from typing import Any

from segcli.image import Json

LONGEST = 256 * 1024 * 1024
"""Bytes of JSON in one frame; a series of 100,000 files stays far below."""

_LENGTH = struct.Struct("!I")
_CHUNK = 65536
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class BrokenWire(Exception):  # noqa: N818 - a state of the connection, told by its name
    """The other side is gone or talks nonsense."""


class NoDescriptor(BrokenWire):
    """A descriptor was sent that this process has no room for (ulimit -n)."""


def send(connection: socket.socket, message: Json, descriptor: int | None = None) -> None:
    """Send one frame; ``message`` must hold ``"fd": True`` if ``descriptor`` is given. Raises OSError."""
    body = json.dumps(message, separators=(",", ":")).encode()
    frame = memoryview(_LENGTH.pack(len(body)) + body)
    if descriptor is not None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        frame = frame[connection.sendmsg([frame], rights) :]
    connection.sendall(frame)


class Receiver:
    """Frames as they arrive on one socket. :meth:`take_descriptor` gives up what came along, in order."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending = bytearray()
        self._descriptors: deque[int] = deque()

    def frame(self) -> Json | None:
        """A whole frame that is here already, or None. Raises BrokenWire for nonsense."""
        if len(self._pending) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._pending)
        if length > LONGEST:
            raise BrokenWire
        if len(self._pending) < _LENGTH.size + length:
            return None
        body = bytes(self._pending[_LENGTH.size : _LENGTH.size + length])
        del self._pending[: _LENGTH.size + length]
        try:
            return json.loads(body)
        except ValueError:
            raise BrokenWire from None

    def fill(self) -> None:
        """Take what the socket has; blocks if it has nothing. Raises BrokenWire at its end, NoDescriptor."""
        space = socket.CMSG_SPACE(8 * array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self._connection.recvmsg(_CHUNK, space, _CLOEXEC)
        except ConnectionError:
            raise BrokenWire from None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(content[: len(content) - len(content) % received.itemsize])
                for descriptor in received:
                    os.set_inheritable(descriptor, False)
                self._descriptors.extend(received)
        if flags & socket.MSG_CTRUNC:
            raise NoDescriptor
        if not data:
            raise BrokenWire
        self._pending += data

    def wait(self) -> Json:
        """The next frame, however long it takes (a reader waits so for work; the main process never does)."""
        while (message := self.frame()) is None:
            self.fill()
        return message

    def take_descriptor(self) -> int:
        """The oldest descriptor received; the caller closes it. Raises BrokenWire if there is none."""
        if not self._descriptors:
            raise BrokenWire
        return self._descriptors.popleft()

    def close(self) -> None:
        """Close descriptors nobody took."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


def plain(value: Any) -> Json:
    """``value`` as it will be on the other side: tuples become lists. Raises TypeError or ValueError."""
    return json.loads(json.dumps(value))
