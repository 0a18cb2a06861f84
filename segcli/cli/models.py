"""``segcli models``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from segcli.card_json import format_card
from segcli.catalog import Catalog, CatalogEntry, installed_names, load_catalog, resolve_folder
from segcli.cli.model_words import NAMES, in_full, in_one_line
from segcli.cli.options import plugins_option
from segcli.cli.terminal import say, show
from segcli.cli.wrap import check_model, wrap_model
from segcli.errors import ModelError, UsageError
from segcli.model_folder import load_card, load_model_folder


@click.group()
def models() -> None:
    """Installed models: list, show, check, make or wrap one."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@plugins_option
def list_models(as_json: bool, plugins_only: tuple[str, ...] | None) -> None:
    """Every plugin, what the model that it ships segments, and where it is from; broken ones with the reason."""
    catalog = load_catalog(plugins_only)
    if as_json:
        show(json.dumps(_as_json(catalog), indent=1))
        return
    width = max([len(name) for name in catalog.models] + [len(item.name) for item in catalog.broken], default=0)
    for entry in catalog.models.values():
        say(f"{entry.name:<{width}}  {entry.distribution} {entry.version}  {entry.summary}")
        say(f"{'':<{width}}  model: {_shipped(entry)}")
        for note in entry.notes:
            say(f"{'':<{width}}  note: {note}")
    for item in catalog.broken:
        say(f"{item.name:<{width}}  {item.distribution} {item.version}  BROKEN: {item.reason}")
    for name in catalog.left_out:
        say(f"{name:<{width}}  not loaded")


@models.command("show")
@click.argument("model", metavar="NAME|FOLDER")
@click.option("--json", "as_json", is_flag=True, help="The card as JSON, with the folder.")
@plugins_option
def show_model(model: str, as_json: bool, plugins_only: tuple[str, ...] | None) -> None:
    """What a model segments, on which images, how well, and under which licence. The network is not built."""
    catalog = load_catalog(plugins_only)
    folder = load_model_folder(resolve_folder(model, catalog))
    card = folder.card
    if as_json:
        shown = {"folder": str(folder.path), "card": json.loads(format_card(card))}
        show(json.dumps(shown, indent=1))
        return
    for line in in_full(card):
        say(line)
    plugin = catalog.models.get(card.plugin)
    runs = "which is not installed" if plugin is None else f"{plugin.distribution} {plugin.version}"
    say(f"{'plugin':<{NAMES}}{card.plugin}, {runs}")
    say(f"{'folder':<{NAMES}}{folder.path}")
    say(f"{'weights':<{NAMES}}SHA-256 {card.sha256}")


@models.command("new")
@click.argument("name")
@click.option("--gated", is_flag=True, help="With a presence head, so that empty tiles can skip the decoder.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The new folder; default: NAME.")
def new_model(name: str, gated: bool, output: Path | None) -> None:
    """Write a small Python package that holds a model of your own, ready to install and to be edited."""
    from segcli.scaffold import write_scaffold  # noqa: PLC0415 - only here

    folder = Path(name) if output is None else output
    if name in installed_names():
        raise UsageError(f"a model called {name!r} is installed already: choose another name")
    for path in write_scaffold(name, folder, gated=gated):
        say(path)
    say(f"next: cd {folder} && pip install -e '.[test]' && pytest   (README.md there goes on)")


models.add_command(check_model)
models.add_command(wrap_model)


def _shipped(entry: CatalogEntry) -> str:
    """What the model segments that comes with a plugin."""
    if entry.default is None:
        return "none of its own: give a model folder"
    try:
        return in_one_line(load_card(entry.default))
    except ModelError as error:
        return f"BROKEN: {error}"


def _card(entry: CatalogEntry) -> dict[str, object] | None:
    """The model that comes with a plugin, for programs; None if there is none, or none that can be read."""
    try:
        card = None if entry.default is None else load_card(entry.default)
    except ModelError:
        return None
    if card is None:
        return None
    return {
        "name": card.name,
        "version": card.version,
        "modality": card.modality,
        "channels": list(card.channels),
        "labels": {str(label.value): label.name for label in card.labels},
    }


def _as_json(catalog: Catalog) -> dict[str, object]:
    return {
        "models": [
            {
                "name": entry.name,
                "version": entry.version,
                "distribution": entry.distribution,
                "summary": entry.summary,
                "default_model": entry.default is not None,
                "model": _card(entry),
                "notes": list(entry.notes),
            }
            for entry in catalog.models.values()
        ],
        "broken": [
            {"name": i.name, "version": i.version, "distribution": i.distribution, "reason": i.reason}
            for i in catalog.broken
        ],
        "left_out": list(catalog.left_out),
    }
