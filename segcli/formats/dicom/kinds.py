"""Which DICOM objects are images to segment, and which encodings we decode (PS3.4 annex B, PS3.5 annex A).

Messages may name SOP classes and transfer syntaxes: they describe the kind of file, not the patient.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom.uid import UID

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"

MODALITIES = frozenset({
    "ANN", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CD", "CF", "CFM", "CP", "CR", "CS", "CT", "CTPROTOCOL", "DD",
    "DF", "DG", "DM", "DMS", "DOC", "DS", "DX", "EC", "ECG", "EEG", "EM", "EMG", "EOG", "EPS", "ES", "FA", "FID",
    "FS", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN", "LP", "LS", "M3D", "MA", "MG", "MR",
    "MS", "NM", "OAM", "OCT", "OP", "OPM", "OPR", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS",
    "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD",
    "RTSEGANN", "RTSTRUCT", "RWV", "SC", "SEG", "SM", "SMR", "SR", "SRF", "ST", "STAIN", "TEXTUREMAP", "TG", "US",
    "VA", "VF", "XA", "XAPROTOCOL", "XC",
})  # fmt: skip
"""Defined terms of Modality (PS3.3 C.7.3.1.1.1), retired ones too. A header may hold anything else, a name too."""

_RADIOTHERAPY = "1.2.840.10008.5.1.4.1.1.481."
_SEGMENTATIONS = frozenset(f"1.2.840.10008.5.1.4.1.1.66.{number}" for number in (4, 5, 7, 8))
_WHOLE_SLIDE = frozenset({"1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.77.1.9"})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CROSS_SECTIONAL = frozenset({"CT", "MR", "PT"})
_NO_ANATOMY = frozenset({"LOCALIZER", "MOSAIC", "SCREEN SAVE", "DOSE_INFO"})

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"

_UID = re.compile(r"[0-9.]{1,64}")
_JPEG = "1.2.840.10008.1.2.4."
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED})
JPEG_DCT = frozenset(_JPEG + number for number in ("50", "51", "53", "55"))
JPEG_LOSSLESS = frozenset(_JPEG + number for number in ("57", "70"))
JPEG_LS = frozenset(_JPEG + number for number in ("80", "81"))
JPEG_2000 = frozenset(_JPEG + number for number in ("90", "91", "201", "202", "203"))
DECODABLE = NATIVE | {RLE} | JPEG_DCT | JPEG_LOSSLESS | JPEG_LS | JPEG_2000
LOSSY = frozenset(_JPEG + number for number in ("50", "51", "53", "55", "81", "91", "203"))

_DECODERS = (
    (NATIVE - {DEFLATED}, "NumPy and pydicom"),
    (frozenset({DEFLATED}), "zlib, NumPy and pydicom"),
    (frozenset({RLE}), "imagecodecs packbits"),
    (JPEG_DCT | JPEG_LOSSLESS, "imagecodecs jpeg8 (libjpeg-turbo)"),
    (JPEG_LS, "imagecodecs jpegls (CharLS)"),
    (JPEG_2000, "imagecodecs jpeg2k (OpenJPEG)"),
)


def decoders() -> list[tuple[str, str, str]]:
    """Every transfer syntax we decode: UID, name in the standard, the one decoder it is pinned to."""
    pinned = {syntax: words for syntaxes, words in _DECODERS for syntax in syntaxes}
    order = sorted(DECODABLE, key=lambda syntax: [int(part) for part in syntax.split(".")])
    return [(syntax, UID(syntax).name, pinned[syntax]) for syntax in order]


def shown(uid: str) -> str:
    """What may be told of a transfer syntax or SOP class: where it is no UID, anything may stand in its place."""
    return uid if _UID.fullmatch(uid) else "that is no UID"


def is_video(syntax: str) -> bool:
    """MPEG-2, MPEG-4, HEVC and SMPTE streams: moving pictures, no stack of frames."""
    if syntax.startswith("1.2.840.10008.1.2.7."):
        return True
    number = syntax.removeprefix(_JPEG).split(".")[0]
    return syntax.startswith(_JPEG) and number.isdecimal() and 100 <= int(number) <= 108


def is_image_class(sop_class: str) -> bool:
    """Whether objects of this SOP class are images by its own name; private and unknown classes are not."""
    return "Image Storage" in UID(sop_class).name or sop_class in (PARAMETRIC_MAP, ENHANCED_US_VOLUME)


def reason_to_skip(sop_class: str, modality: str | None, tiled: bool) -> str | None:
    """Why an object of this SOP class is not segmented although it may hold pixels; None if it may be."""
    name = UID(sop_class).name
    if sop_class == MEDIA_DIRECTORY:
        return "a DICOMDIR: an index of files, no image"
    if sop_class in _SEGMENTATIONS or modality == "SEG":
        return "a segmentation (SEG), no image to segment"
    if sop_class.startswith(_RADIOTHERAPY):
        return f"an object of radiotherapy ({name}), no image to segment"
    if sop_class in _WHOLE_SLIDE or tiled:
        return "a whole-slide image: its tiles are no stack of slices, and segcli does not read them"
    return None


def reason_image_type(
    sop_class: str, modality: str | None, image_type: Sequence[str], in_space: bool = False
) -> str | None:
    """Why an image of this type is left out unless ``--select ImageType=...`` names it; None if it is taken.

    ``in_space``: its header states position and orientation, as those of converted slices do and pictures of a screen
    do not.
    """
    if modality not in _CROSS_SECTIONAL:
        return None
    words = {word.strip() for word in image_type}
    found = sorted(words & _NO_ANATOMY)
    if found:
        return f"an image of type {found[0]}, no slice of a stack: --select ImageType=*{found[0]}* takes it"
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(_SECONDARY_CAPTURE + "."):
        if in_space:
            return f"SOP class Secondary Capture with {modality} geometry: to include it, --select SOPClassUID=*"
        return "a secondary capture (a picture of a screen or page): --select SOPClassUID=* takes it"
    return None
