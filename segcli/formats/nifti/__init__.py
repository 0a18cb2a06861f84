"""The format NIfTI, plain or gzipped; :mod:`segcli.formats.nifti.codec` decodes and encodes."""

from __future__ import annotations

from segcli.formats.file_format import Codec, FileFormat

_MAGIC = {348: (344, (b"n+1\0", b"ni1\0")), 540: (4, (b"n+2\0", b"ni2\0"))}
"""Length of the header, where the magic stands in it, and the magic (NIfTI-1 and NIfTI-2)."""


class Nifti(FileFormat):
    """NIfTI in, NIfTI out."""

    name = "nifti"

    def recognises(self, head: bytes) -> bool:
        """By the header's length and the magic that belongs to it, in either byte order."""
        for order in ("little", "big"):
            place, magic = _MAGIC.get(int.from_bytes(head[:4], order), (0, ()))
            if head[place : place + 4] in magic:
                return True
        return False

    def mask_name(self, name: str) -> str:
        """``a.nii`` and ``a.nii.gz`` stay, any other name gets ``.nii.gz``."""
        return name if name.lower().endswith((".nii", ".nii.gz")) else name + ".nii.gz"

    def codec(self) -> Codec:
        """By nibabel."""
        from segcli.formats.nifti import codec

        return codec


FORMAT = Nifti()
