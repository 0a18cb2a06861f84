"""Where the file meta information of a file ends and what transfer syntax it states (PS3.10 section 7.1).

pydicom inflates a deflated data set whole as soon as it opens the file, 300 MB out of 0.3 MB; so the transfer syntax
must be known before. Group lengths are often wrong and are not asked.
"""

from __future__ import annotations

import struct

from segcli.formats.dicom.recognise import has_preamble

_PREFIX = 132
_TRANSFER_SYNTAX = 0x0010
_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OD", b"OF", b"OL", b"OV", b"SV", b"UV")


def file_meta(head: bytes) -> tuple[int, str]:
    """Offset of the data set in a file that begins with ``head``, and the transfer syntax, empty if not stated.

    Elements of group 2 are walked one by one, explicit VR as the standard asks or implicit as some write it.
    """
    offset, syntax = _PREFIX if has_preamble(head) else 0, ""
    while offset + 8 <= len(head) and head[offset : offset + 2] == b"\x02\0":
        element = int.from_bytes(head[offset + 2 : offset + 4], "little")
        start, length = _value(head, offset)
        if element == _TRANSFER_SYNTAX:
            syntax = head[start : start + length].rstrip(b"\0 ").decode("latin-1")
        offset = start + length
    return offset, syntax


def _value(head: bytes, offset: int) -> tuple[int, int]:
    """Start and length of the value of the element at ``offset``."""
    representation = head[offset + 4 : offset + 6]
    if not representation.isalpha():
        return offset + 8, struct.unpack_from("<I", head, offset + 4)[0]
    if representation in _LONG and offset + 12 <= len(head):
        return offset + 12, struct.unpack_from("<I", head, offset + 8)[0]
    return offset + 8, struct.unpack_from("<H", head, offset + 6)[0]
