"""``segcli evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import rich.box
import rich.console
from rich.table import Table
from rich.text import Text

from segcli.cli.console import Out
from segcli.cli.options import plugins_option
from segcli.cli.terminal import printable, say, show, silent_if_unread
from segcli.cli.train_options import NamedLabel
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.evaluation.evaluate import Evaluation

LOG_WIDTH = 140
_THERE = click.Path(path_type=Path, exists=True)


class MappedLabel(click.ParamType[tuple[int, int]]):
    """``NUMBER=OTHER``."""

    name = "NUMBER=OTHER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text → pair."""
        if isinstance(value, tuple):
            return value
        number, _, other = str(value).partition("=")
        if not all(text.isascii() and text.isdecimal() and int(text) <= 65535 for text in (number, other)):
            self.fail(f"{value!r} is not NUMBER=OTHER with numbers of labels, e.g. 255=1", param, ctx)
        if int(number) == 0:
            self.fail(f"{value!r}: 0 is background, and stays it", param, ctx)
        return int(number), int(other)


@click.command()
@click.argument("predictions", type=_THERE)
@click.argument("references", type=_THERE)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for cases.csv, evaluation.json, pictures."
)
@click.option("--without-gate", "ungated", type=_THERE, help="Predictions of the same cases made with --gate off.")
@click.option("--tolerance", type=click.FloatRange(0), default=1.0, show_default=True, help="mm, of NSD.")
@click.option("--no-surface", is_flag=True, help="No HD95 and NSD.")
@click.option("-m", "--model", help="Model folder or name whose card names the labels.")
@click.option("--label", "labels", type=NamedLabel(), multiple=True, help="Name of a label; may be repeated.")
@click.option(
    "--map",
    "mapped",
    type=MappedLabel(),
    multiple=True,
    help="Count a number as another on both sides, e.g. 255=1; 0: as background; may be repeated.",
)
@click.option("--only-predicted", is_flag=True, help="References without a prediction are left out, not failed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option("--log-paths", is_flag=True, help="Names of cases also where the output is not a terminal.")
@plugins_option
def evaluate(
    predictions: Path,
    references: Path,
    output: Path | None,
    as_json: bool,
    log_paths: bool,
    no_surface: bool,
    tolerance: float,
    **how: Any,
) -> int:
    """Compare masks in PREDICTIONS with those in REFERENCES, paired by name.

    Dice, IoU, HD95, NSD and volumes of each case and label; specificity and false positives of images and slices that
    are empty, which are never dropped.
    """
    from segcli.evaluation import evaluate as room  # noqa: PLC0415 - `segcli --help` stays light
    from segcli.evaluation import mapping, plots, surfaces, tables  # noqa: PLC0415

    if not no_surface and not surfaces.is_available():
        raise UsageError(surfaces.MISSING)
    given = dict(how["labels"])
    numbers = mapping.renumbering(how["mapped"], given)
    stated = _names(references, how["model"], how["plugins_only"])
    names = {**{value: name for value, name in stated.items() if value not in numbers.table}, **given}
    if len(set(names.values())) < len(names):
        raise UsageError("two labels have the same name: give each one of its own with --label")
    options = room.EvaluateOptions(
        predictions,
        references,
        how["ungated"],
        None if no_surface else tolerance,
        names,
        how["only_predicted"],
        numbers,
    )
    found = room.evaluate(options)
    named = log_paths or sys.stdout.isatty()
    if as_json:
        show(json.dumps({**found.summary(), "failed_cases": _reasons(found, named)}, indent=1))
    else:
        with silent_if_unread():
            _show(found, named)
        if not named:
            table = "-o writes a cases.csv that" if output is None else "cases.csv in the output folder"
            say(f"{table} tells which case is which; --log-paths shows their names here")
    if output is not None:
        tables.write_tables(output, found)
        if plots.can_plot():
            plots.write_plots(output, found)
        else:
            show(plots.MISSING, err=True)
    return found.exit_code


def _names(references: Path, model: str | None, plugins_only: tuple[str, ...] | None) -> Mapping[int, str]:
    """Label number → name from the card, else from a dataset.json beside the references."""
    if model is not None:
        from segcli.catalog import load_catalog, resolve_folder  # noqa: PLC0415
        from segcli.model_folder import load_model_folder  # noqa: PLC0415

        card = load_model_folder(resolve_folder(model, load_catalog(plugins_only))).card
        return {label.value: label.name for label in card.labels}
    from segcli.pairing.layout import DESCRIPTION, read_layout  # noqa: PLC0415

    if (references.parent / DESCRIPTION).is_file():
        return read_layout(references.parent).labels or {}
    return {}


def _show(found: Evaluation, named: bool) -> None:
    width = None if sys.stdout.isatty() else LOG_WIDTH
    console = Out(highlight=False, width=width)
    console.print(_case_table(found, named))
    summary = found.summary()
    console.print(_label_table(summary))
    console.print(_empty_table(summary))
    for label, share in summary.get("found_pixels_lost_to_gate", {}).items():
        console.print(_shown(f"rightly found pixels of {label} lost to the gate: {share:.3%}"))
    for name, reason in _reasons(found, named).items():
        console.print(_shown(f"failed {name}: {reason}", style="red"))
    for note in (*found.notes, *dict.fromkeys(note for case in found.cases for note in case.notes)):
        console.print(_shown(f"note: {note}", style="yellow"))
    counts = f"{len(found.cases)} scored, {len(found.failed)} failed"
    if found.left_out:
        counts += f", {found.left_out} references without a prediction left out"
    if found.unused:
        counts += f", {found.unused} predictions without a reference"
    console.print(_shown(counts))


def _case_table(found: Evaluation, named: bool) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD)
    for heading in ("case", "label", "Dice", "IoU", "HD95", "NSD", "predicted", "reference", "FP slices"):
        table.add_column(heading, justify="left" if heading in ("case", "label") else "right")
    for case in found.cases:
        empty = case.slice_reference == 0
        false = f"{int((case.slice_predicted[empty] > 0).sum())}/{int(empty.sum())}"
        for index, (label, score) in enumerate(case.labels.items()):
            table.add_row(
                "" if index else _shown(case.name if named else case.id),
                _shown(label),
                _number(score.dice),
                _number(score.iou),
                _number(score.hd95),
                _number(score.nsd),
                _volume(score.volume(score.predicted), score.predicted),
                _volume(score.volume(score.reference), score.reference),
                "" if index else false,
            )
    return table


def _label_table(summary: Mapping[str, Any]) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, title="means over cases that hold the label", title_justify="left")
    headings = ("", "label", "cases", "Dice", "worst", "with empty", "IoU", "HD95", "NSD", "missed", "false positive")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("", "label") else "right")
    for name, found in _sets(summary).items():
        for label, each in found["labels"].items():
            table.add_row(
                name,
                _shown(label),
                str(each["cases_with_label"]),
                *(_number(each[key]) for key in ("dice", "dice_worst", "dice_with_empty", "iou", "hd95", "nsd")),
                f"{each['missed_cases']}/{each['cases_with_label']}",
                f"{each['false_positive_cases']}/{each['cases_without_label']}",
            )
    return table


def _empty_table(summary: Mapping[str, Any]) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, title="empty images and slices", title_justify="left")
    headings = ("", "of", "empty", "specificity", "sensitivity", "FP mean", "median", "P95", "total", "tiles gated")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("", "of") else "right")
    for name, found in _sets(summary).items():
        for kind in ("images", "slices"):
            each = found[kind]
            spread = each["false_positive_mm3"] or each["false_positive_pixels"] or {}
            unit = " mm³" if each["false_positive_mm3"] else " px"
            gated = found.get("tiles_gated")
            table.add_row(
                name,
                kind,
                str(each["empty"]),
                _number(each["specificity"]),
                _number(each["sensitivity"]),
                *(f"{spread[key]:.3g}{unit}" if spread else "–" for key in ("mean", "median", "p95", "total")),
                "" if gated is None or kind == "images" else f"{gated:.0%}",
            )
    return table


def _sets(summary: Mapping[str, Any]) -> dict[str, Any]:
    if "without_gate" not in summary:
        return {"": summary["predictions"]}
    return {"with gate": summary["predictions"], "without gate": summary["without_gate"]}


def _reasons(found: Evaluation, named: bool) -> dict[str, str]:
    return {name if named else found.ids[name]: reason for name, reason in found.failed.items()}


def _shown(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _volume(volume: float | None, pixels: int) -> str:
    return f"{pixels} px" if volume is None else f"{volume:.0f} mm³"
