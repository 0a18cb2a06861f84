"""The format PNG; :mod:`segcli.formats.png.codec` decodes and encodes."""

from __future__ import annotations

from segcli.formats.file_format import Codec, FileFormat

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Png(FileFormat):
    """PNG in, PNG out."""

    name = "png"

    def recognises(self, head: bytes) -> bool:
        """By its first eight bytes, or its first chunk where a transfer as text has spoilt these."""
        return head.startswith(SIGNATURE) or b"IHDR" in head[8:20]

    def mask_name(self, name: str) -> str:
        """``a.png`` and ``a.PNG`` stay, ``a.dat`` becomes ``a.dat.png``."""
        return name if name.lower().endswith(".png") else name + ".png"

    def codec(self) -> Codec:
        """By imagecodecs."""
        from segcli.formats.png import codec

        return codec


FORMAT = Png()
