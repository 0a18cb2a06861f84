"""Which models are installed: a pure function of the entry points in the group ``segcli.models``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from segcli.contract import API_VERSION, ENTRY_POINT_GROUP, ModelCard, ModelPlugin, Network
from segcli.errors import ModelError, PluginError, one_line
from segcli.plugin_guard import guarded


@dataclass(frozen=True)
class CatalogEntry:
    """A plugin that loaded, and the distribution it came with. ``origin``: ``module:object`` of its entry point.

    ``notes``: what it did to the process on loading, each put back.
    """

    name: str
    summary: str
    distribution: str
    version: str
    default: Path | None
    plugin: ModelPlugin
    origin: str
    notes: tuple[str, ...] = ()

    def build(self, card: ModelCard, notes: list[str] | None = None) -> Any:
        """A fresh network for the card, a torch module; what building it did to the process is put back and noted.

        Raises ModelError if the plugin refuses the card and PluginError if it fails or builds no network.
        """
        did: list[str] = []
        try:
            with guarded(did, seeds=False):
                network = self.plugin.build(card)
        except ValueError as error:
            raise ModelError(f"the plugin {self.name!r} refuses the card: {one_line(error)}") from error
        except Exception as error:
            whose = f"the plugin {self.name!r} of {self.distribution}"
            raise PluginError(f"{whose} failed to build: {type(error).__name__}: {one_line(error)}") from error
        if not isinstance(network, Network):
            raise PluginError(
                f"the plugin {self.name!r} built no network of the contract: multiple, offset or forward is missing"
            )
        if notes is not None:
            notes += [f"plugin {self.name!r} of {self.distribution}: {note}" for note in did]
        return network


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that is installed but cannot be used, whose it is, and why."""

    name: str
    distribution: str
    version: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """All installed models, working and broken. ``left_out``: names that were not to be loaded."""

    models: Mapping[str, CatalogEntry]
    broken: tuple[BrokenPlugin, ...]
    left_out: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What plugins did on loading and had to be put back, one line each, with whose it is."""
        return tuple(
            f"plugin {entry.name!r} of {entry.distribution}: {note}"
            for entry in self.models.values()
            for note in entry.notes
        )

    def find(self, name: str) -> CatalogEntry:
        """The plugin called ``name``. Raises PluginError that says what there is, or whose plugin is broken and why."""
        if name in self.models:
            return self.models[name]
        for item in self.broken:
            if item.name == name:
                raise PluginError(f"the model {name!r} of {item.distribution} is broken: {item.reason}")
        if name in self.left_out:
            raise PluginError(f"the model {name!r} is installed, but --plugins-only leaves it out")
        known = ", ".join(self.models) or "none"
        raise PluginError(
            f"no model is called {name!r} (installed: {known}); a model folder is given as a path, e.g. ./{name}"
        )


def resolve_folder(name_or_folder: str, catalog: Catalog) -> Path:
    """A bare word is a plugin's default model folder, anything with a path separator a folder.

    Raises PluginError for an unknown plugin and ModelError for one that ships no weights.
    """
    if os.sep in name_or_folder or (os.altsep and os.altsep in name_or_folder):
        return Path(name_or_folder)
    entry = catalog.find(name_or_folder)
    if entry.default is None:
        raise ModelError(
            f"the model {name_or_folder!r} ships no weights: give a model folder trained for it, "
            "e.g. --model ./my-model (a folder with config.json and model.safetensors)"
        )
    return entry.default


def installed_names() -> tuple[str, ...]:
    """Names of all installed plugins, none of them imported."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def load_catalog(only: Collection[str] | None = None) -> Catalog:
    """The catalog of this environment; ``only``: names of the plugins that may be imported, None for all.

    Raises PluginError for a name in ``only`` that is not installed.
    """
    return build_catalog(entry_points(group=ENTRY_POINT_GROUP), only)


def build_catalog(found: Iterable[EntryPoint], only: Collection[str] | None = None) -> Catalog:
    """Load each entry point; one that fails, or whose name another one also claims, becomes a broken entry."""
    by_name: dict[str, list[EntryPoint]] = {}
    for point in found:
        rivals = by_name.setdefault(point.name, [])
        # An editable install can be found twice on the path; the same object of the same distribution is no rival.
        if not any((p.value, _distribution(p)) == (point.value, _distribution(point)) for p in rivals):
            rivals.append(point)
    left_out: tuple[str, ...] = ()
    if only is not None:
        for name in only:
            if name not in by_name:
                raise PluginError(f"--plugins-only: no plugin is called {name!r} (installed: {', '.join(by_name)})")
        left_out = tuple(sorted(set(by_name) - set(only)))
        by_name = {name: rivals for name, rivals in by_name.items() if name in only}
    models: dict[str, CatalogEntry] = {}
    broken: list[BrokenPlugin] = []
    for name in sorted(by_name):
        rivals = by_name[name]
        owners = sorted({_distribution(point)[0] for point in rivals})
        for point in rivals:
            distribution, version = _distribution(point)
            if len(rivals) > 1:
                reason = f"the name is claimed by {' and '.join(owners)}: uninstall one of them"
                broken.append(BrokenPlugin(name, distribution, version, reason))
                continue
            try:
                models[name] = _load(point)
            except PluginError as error:
                broken.append(BrokenPlugin(name, distribution, version, str(error)))
    return Catalog(models, tuple(broken), left_out)


def _load(point: EntryPoint) -> CatalogEntry:
    distribution, version = _distribution(point)
    notes: list[str] = []
    try:
        with guarded(notes):
            plugin = point.load()
            if not isinstance(plugin, ModelPlugin):
                raise PluginError(
                    "the entry point is no model plugin: it lacks a member of segcli.contract.ModelPlugin"
                )
            if plugin.api != API_VERSION:
                raise PluginError(f"it is written for contract version {plugin.api}, this segcli has {API_VERSION}")
            if plugin.name != point.name:
                raise PluginError(f"it calls itself {plugin.name!r}, its entry point {point.name!r}")
            summary, default = plugin.summary, plugin.default()
            if not isinstance(summary, str) or not summary.isprintable():
                raise PluginError("its summary is not one line of text")
            if default is not None and not isinstance(default, Path):
                raise PluginError("its default() returns neither a Path nor None")
        return CatalogEntry(point.name, summary, distribution, version, default, plugin, point.value, tuple(notes))
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"{type(error).__name__} on loading: {one_line(error)}") from error


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return ("unknown", "") if point.dist is None else (point.dist.name, point.dist.version)
