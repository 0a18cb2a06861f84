"""The command group, and the one place where a command's end becomes an exit code."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from segcli.cli.terminal import say
from segcli.errors import SegcliError
from segcli.exit_code import ExitCode
from segcli.system import refuse_windows

SIGNALLED = (ExitCode.SIGINT, ExitCode.SIGTERM)
"""With these a second SIGINT or SIGTERM leaves at once."""


COMMANDS = {
    "predict": "Segment every image below INPUT and write masks in matching formats.",
    "train": (
        "Train a network on DATASET: nnU-Net's raw layout, folders images and masks, "
        "or masks (a_mask) beside images (a)."
    ),
    "calibrate": "Choose the gate of MODEL anew on DATASET, which must hold no case the model was trained on.",
    "evaluate": "Compare masks in PREDICTIONS with those in REFERENCES, paired by name.",
    "inspect": "Cases below PATH, and what would be skipped or fail and why. No pixel is decoded.",
    "models": "Installed models: list, show, check, make or wrap one.",
    "report": "Show the report of the run that wrote OUTPUT; the exit code is that run's.",
    "doctor": "Versions, devices, readers, models: what a run needs. Exit code 2 if something is missing.",
}
"""Name → the first line of its help. The command ``x`` is ``segcli.cli.x.x``."""


class Commands(click.Group):
    """Imports a command when it is called, so that ``segcli --help`` comes at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"segcli.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What ``--help`` says about the commands, none of them imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="segcli", prog_name="segcli")
@click.option("-v", "--verbose", count=True, expose_value=False, help="Twice: tracebacks of bugs.")
def cli() -> None:
    """Segment folders of medical images: mixed formats in, matching masks out."""


def run(arguments: Sequence[str], tools: object = None) -> int:
    """Run one command line; returns the exit code. ``tools``: of a test, :class:`segcli.batch.tools.Tools`."""
    try:
        refuse_windows()
        result = cli.main(args=list(arguments), prog_name="segcli", standalone_mode=False, obj=tools)
    except click.ClickException as error:
        _show(error)
        return ExitCode.USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        return ExitCode.SIGINT
    except SegcliError as error:
        say(f"segcli: {error}", err=True)
        return error.exit_code
    except SystemExit as leaving:
        if leaving.code in SIGNALLED:
            raise
        say("segcli: a plugin or library left by sys.exit before the command was done", err=True)
        return ExitCode.ENDED_EARLY
    except BaseException as error:  # noqa: BLE001 - a bug must leave as 70, never as 1
        say(f"segcli: {_cause(error)}; `segcli -vv ...` shows where", err=True)
        if _verbosity(arguments) >= 2:
            traceback.print_exc(file=sys.stderr)
        return ExitCode.USAGE if isinstance(error, ImportError) else ExitCode.ENDED_EARLY
    return result if isinstance(result, int) else ExitCode.DONE


def _cause(error: BaseException) -> str:
    if isinstance(error, ImportError):  # a plugin's is told as its own
        return f"a library cannot be loaded ({str(error)[:200]}): too little memory for it, or install segcli again"
    return "out of memory" if isinstance(error, MemoryError) else f"a bug ended the run: {type(error).__name__}"


def _show(error: click.ClickException) -> None:
    """As click does, but safe for a terminal: the words quoted may be file names that a ``*`` of the shell found."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        say(f"Try '{error.ctx.command_path} --help' for help.", err=True)
    say(f"Error: {error.format_message()}", err=True)


def _verbosity(arguments: Sequence[str]) -> int:
    """How often ``-v`` was said, before or after the command, however it was bundled."""
    bundles = (word.count("v") for word in arguments if re.fullmatch("-[vq]+", word))
    return sum(bundles) + arguments.count("--verbose")
