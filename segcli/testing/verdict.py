"""All checks in one table, and what they make of a plugin or a model folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segcli.catalog import Catalog, installed_names, load_catalog
from segcli.contract import ModelPlugin
from segcli.errors import SegcliError, one_line
from segcli.model_folder import load_model_folder, load_weights
from segcli.plugin_guard import guarded
from segcli.testing import cost, gating, listing, numbers, tiling
from segcli.testing.subject import CheckFailed, NotApplicable, Note, Subject

CHECKS: Mapping[str, Callable[[Subject], Note]] = {
    "light listing": listing.check_listing_is_light,
    "name and version": listing.check_name_and_api,
    "card builds": listing.check_card_builds,
    "unknown option": listing.check_unknown_option_is_refused,
    "sizes": numbers.check_sizes,
    "shape and range": numbers.check_shape_dtype_range,
    "deterministic": numbers.check_eval_is_deterministic,
    "batch": numbers.check_batch_equals_singles,
    "state kept": numbers.check_forward_keeps_state,
    "state round trip": numbers.check_state_round_trip,
    "encode and decode": gating.check_decode_of_encode_is_forward,
    "presence": gating.check_presence,
    "survivors": gating.check_decode_of_survivors,
    "training outputs": gating.check_training_outputs,
    "tiles": tiling.check_tiles_against_whole,
    "cost": cost.check_time_and_memory,
    "GPU": cost.check_gpu_agrees,
}
"""Every check by the name it is reported under, in the order it runs."""

Status = Literal["passed", "warning", "skipped", "failed"]


@dataclass(frozen=True)
class Finding:
    """What one check found. ``text``: one line. ``values``: its numbers."""

    check: str
    status: Status
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """All findings about one model."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """No check failed; warnings and skipped checks do not count."""
        return all(finding.status != "failed" for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(f"{item.status:8} {item.check}: {item.text}" for item in self.findings)


def run_check(name: str, subject: Subject) -> Finding:
    """One check of :data:`CHECKS`; whatever the model raises becomes a failed finding."""
    try:
        note = CHECKS[name](subject)
    except NotApplicable as reason:
        return Finding(name, "skipped", str(reason))
    except CheckFailed as error:
        return Finding(name, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - the model is a stranger's code
        return Finding(name, "failed", f"{type(error).__name__}: {one_line(error)}")
    return Finding(name, "warning" if note.warning else "passed", note.text, note.values)


def check_subject(subject: Subject, model: str) -> Verdict:
    """Every check, in order; where no network can be built, those that need one are left out."""
    findings: list[Finding] = []
    for name in CHECKS:
        findings.append(run_check(name, subject))
        if name == "card builds" and findings[-1].status == "failed":
            break
    return Verdict(model, tuple(findings))


def check_plugin(plugin: ModelPlugin, origin: str | None = None) -> Verdict:
    """A plugin on its example card, with weights as they are born, and that its shipped model loads.

    ``origin``: ``module:object`` for the light-import check; found by itself for an installed plugin.
    """
    if origin is None:
        known = load_catalog({plugin.name} & set(installed_names()))  # the neighbours stay asleep
        entry = known.models.get(plugin.name)
        origin = entry.origin if entry is not None and entry.plugin is plugin else None
    try:
        with guarded([]):
            card = plugin.example()
    except Exception as error:  # noqa: BLE001 - the plugin is a stranger's code
        return Verdict(plugin.name, (Finding("card builds", "failed", f"example() raised {type(error).__name__}"),))
    verdict = check_subject(Subject(plugin, card, origin), plugin.name)
    return Verdict(plugin.name, (*verdict.findings, _default_loads(plugin)))


def check_folder(folder: Path, catalog: Catalog) -> Verdict:
    """A model folder's network with its weights and its card.

    Raises ModelError if the folder cannot be read and PluginError if its plugin is not there.
    """
    found = load_model_folder(folder)
    entry = catalog.find(found.card.plugin)
    return check_subject(Subject(entry.plugin, found.card, entry.origin, load_weights(found)), str(folder))


def check_named(name_or_folder: str, catalog: Catalog) -> Verdict:
    """What stands after ``models check``: a plugin's name, or a model folder (anything with a path separator).

    Raises PluginError for a name nobody has; an installed plugin that does not load is a failed finding.
    """
    if os.sep in name_or_folder or (os.altsep and os.altsep in name_or_folder):
        return check_folder(Path(name_or_folder), catalog)
    broken = [item for item in catalog.broken if item.name == name_or_folder]
    if broken:
        return Verdict(name_or_folder, tuple(Finding("loads", "failed", item.reason) for item in broken))
    entry = catalog.find(name_or_folder)
    return check_plugin(entry.plugin, entry.origin)


def assert_conforms(plugin: ModelPlugin, origin: str | None = None) -> None:
    """For a plugin's own tests: raise AssertionError listing every failed check."""
    verdict = check_plugin(plugin, origin)
    if not verdict.passed:
        raise AssertionError(f"{plugin.name} is not compatible with segcli\n{verdict}")


def _default_loads(plugin: ModelPlugin) -> Finding:
    name = "shipped model"
    folder = plugin.default()
    if folder is None:
        return Finding(name, "skipped", "the plugin ships no model folder")
    try:
        found = load_model_folder(folder)
        Subject(plugin, found.card, None, load_weights(found)).network()
    except (SegcliError, ValueError, RuntimeError) as error:
        return Finding(name, "failed", str(error).splitlines()[0])
    if found.card.plugin != plugin.name:
        return Finding(name, "failed", f"its card says plugin {found.card.plugin!r}")
    return Finding(name, "passed", f"{found.card.name} {found.card.version}")
