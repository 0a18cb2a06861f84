"""In what a run differs from the one that made an output folder, in the words of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from segcli.batch.key import ANY_SETTINGS, MASK_SETTINGS
from segcli.image import Json
from segcli.reporting.content import RunFacts


def differences(before: Json, now: RunFacts) -> str:
    """``before``: the facts that a manifest holds, or None. Names what would change a mask, old → new."""
    if before is None:
        return "another model or other settings"
    return "; ".join(_differences(before, json.loads(json.dumps(now.to_json())))) or "the model's card (config.json)"


def _differences(before: Json, now: Json) -> Iterator[str]:
    old, new = before["model"], now["model"]
    if (old["name"], old["version"]) != (new["name"], new["version"]):
        yield f"model {old['name']} {old['version']} → {new['name']} {new['version']}"
    if old["plugin"] != new["plugin"]:
        yield f"plugin {old['plugin']} → {new['plugin']}"
    if old["weights_sha256"] != new["weights_sha256"]:
        yield f"weights {old['weights_sha256'][:12]} → {new['weights_sha256'][:12]} (SHA-256)"
    if old["labels"] != new["labels"]:
        yield f"labels {_labels(old)} → {_labels(new)}"
    for name in (*MASK_SETTINGS, *ANY_SETTINGS):
        was, is_now = before["settings"].get(name), now["settings"].get(name)  # an earlier version had fewer
        if (was or None) != (is_now or None):
            yield f"--{name.replace('_', '-')} {_value(was)} → {_value(is_now)}"
    if before["machine"]["precision"] != now["machine"]["precision"]:
        yield f"--precision {before['machine']['precision']} → {now['machine']['precision']}"


def _labels(model: Json) -> str:
    return ", ".join(f"{label['value']}={label['name']}" for label in model["labels"])


def _value(value: Json) -> str:
    if value is None or value is False:
        return "not given"
    if value is True:
        return "given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
