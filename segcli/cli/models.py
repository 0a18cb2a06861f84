"""``segcli models``."""

from __future__ import annotations

import dataclasses
import json

import click

from segcli.catalog import Catalog, load_catalog


@click.group()
def models() -> None:
    """Installed models: list, check, make or wrap one."""


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


@models.command("check")
@click.argument("model", metavar="NAME|FOLDER")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check_model(model: str, as_json: bool) -> int:
    """Does a model keep the contract? A plugin on its example card, or a model folder with its weights.

    Exit code 0 if no check failed, 1 if one did.
    """
    from segcli.testing.verdict import check_named  # noqa: PLC0415 - torch comes with it

    verdict = check_named(model, load_catalog())
    if as_json:
        checks = [dataclasses.asdict(finding) for finding in verdict.findings]
        click.echo(json.dumps({"model": verdict.model, "passed": verdict.passed, "checks": checks}, indent=1))
    else:
        click.echo(str(verdict))
        failed = sum(finding.status == "failed" for finding in verdict.findings)
        click.echo(f"{verdict.model}: " + ("keeps the contract" if not failed else f"{failed} check(s) failed"))
    return 0 if verdict.passed else 1


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
