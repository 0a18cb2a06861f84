"""What OpenJPEG warns of: imagecodecs logs it, if asked, and returns a plausible image all the same."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import imagecodecs
import numpy as np

from segcli.errors import UnsupportedError
from segcli.formats.dicom.codestream import termination_checked

_TERMINATION = re.compile(r"PTERM check failure: (\d+) (remaining|synth)")
_LEFT, _MISSED = 4, 6
"""Bytes which code blocks of intact streams, by whatever encoder, leave unread or lack (seen at most: 2 and 4)."""

_MOST = 1000


class _Ear(logging.Handler):
    """Keeps what is logged in the thread that listens: OpenJPEG, told to use no others, logs in the calling thread."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        messages: list[str] | None = getattr(self.heard, "messages", None)
        if messages is not None and len(messages) < _MOST:
            messages.append(record.getMessage())


_EAR = _Ear()


@contextmanager
def listening() -> Iterator[list[str]]:
    """What imagecodecs logs in this thread within the block."""
    logger = logging.getLogger("imagecodecs")
    if _EAR not in logger.handlers:
        logger.addHandler(_EAR)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    messages: list[str] = []
    _EAR.heard.messages = messages
    try:
        yield messages
    finally:
        _EAR.heard.messages = None


def is_damage(message: str) -> bool:
    """Anything that OpenJPEG says, but of a code block that ends within a few bytes of its bits."""
    found = _TERMINATION.search(message)
    return found is None or int(found[1]) > (_LEFT if found[2] == "remaining" else _MISSED)


@cache
def check_hearing() -> None:
    """Raise UnsupportedError if the imagecodecs installed hides warnings: its silence would then mean nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    stream = bytearray(imagecodecs.jpeg2k_encode(noise, codecformat="j2k", reversible=True, level=0))
    stream[len(stream) // 2] ^= 0xFF
    with listening() as messages:
        imagecodecs.jpeg2k_decode(termination_checked(bytes(stream)), verbose=2, numthreads=1)
    if not messages:
        raise UnsupportedError("the imagecodecs installed hides what OpenJPEG warns of: install another version")
