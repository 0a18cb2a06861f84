"""segcli: batch segmentation of medical images. Mixed folders in, matching masks out, models as plugins.

What is listed in ``__all__`` is public; docs/python.md tells what it does. Everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcli import errors
    from segcli.api import load_model, predict, segment
    from segcli.engine.model import LoadedModel
    from segcli.image import LabelMap
    from segcli.outcome import Outcome, Report
    from segcli.settings import PredictSettings

__all__ = [
    "LabelMap", "LoadedModel", "Outcome", "PredictSettings", "Report", "errors", "load_model", "predict", "segment",
]  # fmt: skip

_ROOMS = {
    "LabelMap": "segcli.image",
    "LoadedModel": "segcli.engine.model",
    "Outcome": "segcli.outcome",
    "PredictSettings": "segcli.settings",
    "Report": "segcli.outcome",
    "load_model": "segcli.api",
    "predict": "segcli.api",
    "segment": "segcli.api",
}


def __getattr__(name: str) -> Any:
    # torch is imported when a name is first asked for that needs it, not by `segcli --help`
    if name == "errors":
        return import_module("segcli.errors")
    if name in _ROOMS:
        import_module("segcli.system").refuse_windows()
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'segcli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
