"""Library warnings without the header values they quote: class of the warning and keyword of the element, no more."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config
from pydicom.datadict import keyword_dict

_WORD = re.compile(r"\b[A-Z][A-Za-z0-9]{3,}\b")
_VR = re.compile(r"\bVR ([A-Z]{2})\b")


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect the warnings raised inside, reduced by :func:`reduced`; the list is filled when the block ends.

    Values that break the rules of their VR are read and written as they are: a source may not be corrected by us.
    """
    _silence_loggers()
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught, config.disable_value_validation():
        warnings.simplefilter("always")
        yield found
    found.extend(sorted({reduced(type(item.message).__name__, str(item.message)) for item in caught}))


def reduced(kind: str, message: str) -> str:
    """``UserWarning (StudyDate)``: what may be told of a library's warning; its text quotes values."""
    keywords = [word for word in _WORD.findall(message) if word in keyword_dict]
    if keywords:
        return f"{kind} ({keywords[0]})"
    representation = _VR.search(message)
    return f"{kind} (a value of VR {representation[1]})" if representation else kind


def _silence_loggers() -> None:
    """Pydicom and highdicom log UIDs and values at every level; no handler of the program may see them."""
    for name in ("pydicom", "highdicom"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
