"""The formats NRRD and MetaImage, volumes behind a text header; :mod:`segcli.formats.volume.codec` reads and writes."""

from __future__ import annotations

from segcli.formats.file_format import Codec, FileFormat


class Nrrd(FileFormat):
    """NRRD in, NRRD out."""

    name = "nrrd"

    def recognises(self, head: bytes) -> bool:
        """By its magic."""
        return head.startswith(b"NRRD000")

    def mask_name(self, name: str) -> str:
        """The name itself, or with ``.nrrd`` appended (``a.nhdr`` → ``a.nhdr.nrrd``)."""
        return name if name.lower().endswith(".nrrd") else name + ".nrrd"

    def codec(self) -> Codec:
        """Own code."""
        from segcli.formats.volume.codec import NRRD_CODEC

        return NRRD_CODEC


class MetaImage(FileFormat):
    """MHA, or MHD with its raw file, in; MHA out."""

    name = "mha"

    def recognises(self, head: bytes) -> bool:
        """Lines ``Key = value``, among them ObjectType or NDims; one step per line."""
        for line in head.split(b"\n"):
            key, equals, value = (word.strip() for word in line.partition(b"="))
            if key == b"ObjectType" and value.startswith(b"Image"):
                return True
            if key == b"NDims" and value[:1].isdigit():
                return True
            if line.strip() and not (equals and key.replace(b"_", b"").isalpha()):
                return False
        return False

    def mask_name(self, name: str) -> str:
        """The name itself, or with ``.mha`` appended (``a.mhd`` → ``a.mhd.mha``)."""
        return name if name.lower().endswith(".mha") else name + ".mha"

    def codec(self) -> Codec:
        """Own code."""
        from segcli.formats.volume.codec import MHA_CODEC

        return MHA_CODEC


NRRD = Nrrd()
MHA = MetaImage()
