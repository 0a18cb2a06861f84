"""``segcli models check`` and ``segcli models wrap``: commands that run a stranger's network, in a process apart."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from segcli.cli.apart import EndedError, apart
from segcli.cli.options import Real, plugins_option
from segcli.cli.terminal import as_model, say, show
from segcli.errors import UsageError
from segcli.exit_code import ExitCode

timeout_option = click.option(
    "--timeout",
    type=Real(min=1),
    default=600.0,
    show_default=True,
    help="Seconds after which the process that runs the network is ended.",
)


@click.command("check")
@click.argument("model", metavar="NAME|FOLDER")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@timeout_option
@plugins_option
def check_model(model: str, as_json: bool, timeout: float, plugins_only: tuple[str, ...] | None) -> int:
    """Is a model compatible with segcli? A plugin on its example card, or a model folder with its weights.

    Exit code 0 if no check failed, 1 if one did.
    """
    try:
        verdict = apart("check", timeout, model=model, only=plugins_only)
    except EndedError as error:
        verdict = {
            "model": model,
            "findings": [{"check": "runs", "status": "failed", "text": str(error), "values": {}}],
        }
    checks = verdict["findings"]
    failed = sum(finding["status"] == "failed" for finding in checks)
    ended = ExitCode.SOME_FAILED if failed else ExitCode.DONE
    if as_json:
        show(json.dumps({"model": verdict["model"], "passed": not failed, "checks": checks}, indent=1))
        return ended
    for finding in checks:
        say(f"{finding['status']:8} {': '.join(filter(None, (finding['check'], finding['text'])))}")
    kind = "model folder" if Path(model).name != model else "plugin"
    say(f"{verdict['model']}: {failed} check(s) failed" if failed else f"OK: the {kind} is compatible")
    return ended


@click.command("wrap")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--card", type=click.Path(path_type=Path), help="What the file cannot know, as JSON.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The new model folder.")
@click.option("--template", type=click.Path(path_type=Path), help="Write a card to fill in here, and no model folder.")
@click.option(
    "--trust", is_flag=True, help="Turn a .pt2 into ONNX first: it may run any code, and you trust its author."
)
@timeout_option
@plugins_option
def wrap_model(
    file: Path,
    card: Path | None,
    output: Path | None,
    template: Path | None,
    trust: bool,
    timeout: float,
    plugins_only: tuple[str, ...] | None,
) -> None:
    """Make a model folder of an exported ONNX or TorchScript file. The file is a program, and it is run."""
    from segcli.wrap.programs import UNTRUSTED, is_program  # noqa: PLC0415 - only here

    if (output is None) == (template is None):
        raise UsageError("say where to: -o FOLDER for the model folder, or --template FILE.json for a card to fill in")
    if is_program(file) and not trust:
        raise UsageError(f"{file} {UNTRUSTED}")
    if trust and not is_program(file):
        raise UsageError(f"--trust is for programs of torch.export (.pt2), and {file} is none")
    with tempfile.TemporaryDirectory(prefix="segcli-") as folder:
        source = file
        if trust:
            source = Path(folder) / f"{file.stem}.onnx"
            apart("convert", timeout, file=str(file), target=str(source))
        if template is not None:
            _write_template(template, apart("shapes", timeout, file=str(source), only=plugins_only), file)
        elif output is not None:
            _wrap(source, card, output, timeout, plugins_only)


def _wrap(source: Path, card: Path | None, output: Path, timeout: float, only: tuple[str, ...] | None) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} is there and not empty: choose another -o")
    where = output.absolute().parent
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".segcli-", dir=where) as folder:
            whole = Path(folder) / "model"
            words = {"file": str(source), "card": None if card is None else str(card), "output": str(whole)}
            told = apart("wrap", timeout, **words, only=only)
            whole.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error.strerror}): choose another -o") from error
    for warning in told["warnings"]:
        say(f"warning: {warning}", err=True)
    say(f"{output}: {told['plugin']}, measured: {json.dumps(told['options'])}")
    if told["plugin"] == "torchscript":
        say("note: torch gives TorchScript up; where the network can still be exported, ONNX lasts longer", err=True)
    say(f"next: segcli models check {as_model(output)}")


def _write_template(target: Path, shapes: Any, file: Path) -> None:
    from segcli.wrap.asking import template  # noqa: PLC0415 - only here
    from segcli.wrap.programs import is_program  # noqa: PLC0415

    card = template(*(shapes or (None, None)))
    try:
        with target.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{target} is there already: choose another --template") from error
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror}): choose another --template") from error
    say(f"{target}: fill in what begins with FILL IN")
    trusted = " --trust" if is_program(file) else ""
    say(f"next: segcli models wrap {file} --card {target} -o FOLDER{trusted}")
