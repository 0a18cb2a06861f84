"""segcli: batch segmentation of medical images. Mixed folders in, matching masks out, models as plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcli.api import segment

__all__ = ["segment"]


def __getattr__(name: str) -> Any:
    # torch is imported when the function is first asked for, not by `segcli --help`
    if name == "segment":
        from segcli.api import segment  # noqa: PLC0415

        return segment
    raise AttributeError(f"module 'segcli' has no attribute {name!r}")
