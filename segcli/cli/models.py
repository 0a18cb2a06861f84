"""``segcli models``."""

from __future__ import annotations

import json

import click

from segcli.catalog import Catalog, load_catalog


@click.group()
def models() -> None:
    """Installed models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def list_models(as_json: bool) -> None:
    """Name, version, distribution and default model of every plugin; broken ones with the reason."""
    catalog = load_catalog()
    if as_json:
        click.echo(json.dumps(_as_json(catalog), indent=1))
        return
    width = max([len(name) for name in catalog.models] + [len(item.name) for item in catalog.broken], default=0)
    for entry in catalog.models.values():
        shipped = "ships a default model" if entry.default else "no default model: give a model folder"
        origin = f"{entry.distribution} {entry.version}"
        click.echo(f"{entry.name:<{width}}  {origin}  {entry.summary} ({shipped})")
    for item in catalog.broken:
        click.echo(f"{item.name:<{width}}  {item.distribution} {item.version}  BROKEN: {item.reason}")


def _as_json(catalog: Catalog) -> dict[str, list[dict[str, object]]]:
    return {
        "models": [
            {
                "name": entry.name,
                "version": entry.version,
                "distribution": entry.distribution,
                "summary": entry.summary,
                "default_model": entry.default is not None,
            }
            for entry in catalog.models.values()
        ],
        "broken": [
            {"name": i.name, "version": i.version, "distribution": i.distribution, "reason": i.reason}
            for i in catalog.broken
        ],
    }
