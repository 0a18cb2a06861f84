"""Is this file DICOM? Decided from its first bytes (PS3.10 section 7, PS3.5 section 7), never from its name."""

from __future__ import annotations

import struct

_PREAMBLE = 128
_ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")
"""The object identifier 1.2.840.113549.1.7.3, with which a CMS envelope begins (PS3.15: secure DICOM files)."""

VALUE_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONGEST_FIRST_VALUE = 4096
"""The elements a data set begins with (character set, image type, UIDs) are short."""


def recognises(head: bytes) -> bool:
    """Whether ``head``, the first 4096 bytes of a file, begin a DICOM file, bare or not, or an encrypted one."""
    return has_preamble(head) or is_bare_data_set(head) or is_encrypted(head)


def has_preamble(head: bytes) -> bool:
    """128 bytes of anything, then ``DICM``."""
    return head[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def is_encrypted(head: bytes) -> bool:
    """A CMS envelope: an ASN.1 sequence that begins with the identifier of enveloped data."""
    return head[:1] == b"\x30" and _ENVELOPED_DATA in head[:24]


def is_bare_data_set(head: bytes) -> bool:
    """Without preamble: the first element must be of group 2 or 8, of sane length, and the second must follow it."""
    for order, groups in (("<", (0x0002, 0x0008)), (">", (0x0008,))):
        first = _element(head, 0, order)
        if first is None or first[0] not in groups:
            continue
        second = _element(head, first[2], order)
        if second is not None and (second[0], second[1]) > (first[0], first[1]) and second[0] in (2, 8, 9, 0x10):
            return True
    return False


def _element(head: bytes, start: int, order: str) -> tuple[int, int, int] | None:
    """Group, element and the offset of what follows; None where no sane element lies at ``start``."""
    if start + 12 > len(head):
        return None
    group, element = struct.unpack_from(order + "HH", head, start)
    representation = head[start + 4 : start + 6]
    if representation in VALUE_REPRESENTATIONS:
        if representation in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR"):
            length, size = struct.unpack_from(order + "I", head, start + 8)[0], 12
        else:
            length, size = struct.unpack_from(order + "H", head, start + 6)[0], 8
    elif order == "<":
        length, size = struct.unpack_from("<I", head, start + 4)[0], 8
    else:
        return None
    if length > _LONGEST_FIRST_VALUE or length % 2:
        return None
    return group, element, start + size + length
