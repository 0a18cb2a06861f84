"""Whether an element stands twice in a data set, or behind its pixels: readers differ in which of the two they take.

Every element stands once, in ascending order of tags (PS3.5 section 7.1). pydicom keeps the last of several without a
word, others the first; a slope, a position or an image would be another one for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.tag import BaseTag

PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_OF_AN_IMAGE = frozenset({0x0008, 0x0010, 0x0018, 0x0020, 0x0028})
"""Groups of what is said of an image; junk that fills up a file looks like elements of others."""


class Once:
    """Told of every element of a data set as pydicom comes to it (``stop_when`` of its ``read_partial``).

    ``tags``: elements that count. ``problem``: what is wrong, None if nothing was so far.
    """

    def __init__(self, tags: Iterable[int], *, up_to_pixels: bool) -> None:
        self.problem: str | None = None
        self._tags = frozenset(int(tag) for tag in tags)
        self._up_to_pixels = up_to_pixels
        self._seen: set[int] = set()
        self._behind = False

    def __call__(self, tag: BaseTag, representation: str | None, length: int) -> bool:
        """Whether the pixels are reached and nothing beyond is wanted."""
        number = int(tag)
        if number in PIXEL_TAGS and self._up_to_pixels:
            return True
        if number in self._tags and number in self._seen and len(self._seen) > 1:  # pydicom may look at the first twice
            self.problem = f"{keyword_for_tag(number)} stands in it twice: correct the file"
        elif self._behind and number >> 16 in _OF_AN_IMAGE and dictionary_has_tag(number):
            self.problem = "elements of the image stand behind its pixel data: correct the file"
        self._seen.add(number)
        self._behind = self._behind or number in PIXEL_TAGS
        return False
