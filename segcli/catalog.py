"""Which models are installed: a pure function of the entry points in the group ``segcli.models``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from segcli.contract import API_VERSION, ENTRY_POINT_GROUP, ModelPlugin
from segcli.errors import PluginError


@dataclass(frozen=True)
class CatalogEntry:
    """A plugin that loaded, and the distribution it came with. ``origin``: ``module:object`` of its entry point."""

    name: str
    summary: str
    distribution: str
    version: str
    default: Path | None
    plugin: ModelPlugin
    origin: str


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that is installed but cannot be used, whose it is, and why."""

    name: str
    distribution: str
    version: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """All installed models, working and broken."""

    models: Mapping[str, CatalogEntry]
    broken: tuple[BrokenPlugin, ...]

    def find(self, name: str) -> CatalogEntry:
        """The plugin called ``name``. Raises PluginError that says what there is, or whose plugin is broken and why."""
        if name in self.models:
            return self.models[name]
        for item in self.broken:
            if item.name == name:
                raise PluginError(f"the model {name!r} of {item.distribution} is broken: {item.reason}")
        known = ", ".join(self.models) or "none"
        raise PluginError(
            f"no model is called {name!r} (installed: {known}); a model folder is given as a path, e.g. ./{name}"
        )


def load_catalog() -> Catalog:
    """The catalog of this environment."""
    return build_catalog(entry_points(group=ENTRY_POINT_GROUP))


def build_catalog(found: Iterable[EntryPoint]) -> Catalog:
    """Load each entry point; one that fails, or whose name another one also claims, becomes a broken entry."""
    by_name: dict[str, list[EntryPoint]] = {}
    for point in found:
        rivals = by_name.setdefault(point.name, [])
        # An editable install can be found twice on the path; the same object of the same distribution is no rival.
        if not any((p.value, _distribution(p)) == (point.value, _distribution(point)) for p in rivals):
            rivals.append(point)
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
    return Catalog(models, tuple(broken))


def _load(point: EntryPoint) -> CatalogEntry:
    distribution, version = _distribution(point)
    try:
        plugin = point.load()
        if not isinstance(plugin, ModelPlugin):
            raise PluginError("the entry point is not a model plugin: it lacks a member of segcli.contract.ModelPlugin")
        if plugin.api != API_VERSION:
            raise PluginError(f"it is written for contract version {plugin.api}, this segcli has {API_VERSION}")
        if plugin.name != point.name:
            raise PluginError(f"it calls itself {plugin.name!r}, its entry point {point.name!r}")
        return CatalogEntry(point.name, plugin.summary, distribution, version, plugin.default(), plugin, point.value)
    except PluginError:
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        text = str(error).splitlines()[0] if str(error) else ""
        raise PluginError(f"{type(error).__name__} on loading{': ' + text if text else ''}") from error


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return ("unknown", "") if point.dist is None else (point.dist.name, point.dist.version)
