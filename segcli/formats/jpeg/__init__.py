"""The format JPEG, read only: masks are PNG; :mod:`segcli.formats.jpeg.codec` decodes."""

from __future__ import annotations

from segcli.formats.file_format import Codec, FileFormat


class Jpeg(FileFormat):
    """JPEG in, PNG out."""

    name = "jpeg"

    def recognises(self, head: bytes) -> bool:
        """By the start-of-image marker and the marker that must follow it."""
        return head.startswith(b"\xff\xd8\xff")

    def mask_name(self, name: str) -> str:
        """``a.jpg`` becomes ``a.jpg.png``."""
        return name + ".png"

    def codec(self) -> Codec:
        """By imagecodecs and simplejpeg."""
        from segcli.formats.jpeg import codec

        return codec


FORMAT = Jpeg()
