"""The command group, and the one place where exit codes are made.

0 fine · 1 some cases failed · 2 usage or set-up · 3 nothing to do · 4 every case failed · 70 ended early (bug, disk
full) · 130 SIGINT · 143 SIGTERM.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version

import click

from segcli.cli.calibrate import calibrate
from segcli.cli.doctor import doctor
from segcli.cli.evaluate import evaluate
from segcli.cli.inspect import inspect
from segcli.cli.models import models
from segcli.cli.predict import predict
from segcli.cli.report import report
from segcli.cli.train import train
from segcli.errors import SegcliError

BUG = 70


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("segcli"), prog_name="segcli")
def cli() -> None:
    """Segment folders of medical images: mixed formats in, matching masks out."""


for command in (predict, train, calibrate, evaluate, inspect, models, report, doctor):
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        result = cli.main(args=list(arguments), prog_name="segcli", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except SegcliError as error:
        click.echo(f"segcli: {error}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a bug must leave as 70, never as 1
        click.echo(f"segcli: a bug ended the run: {type(error).__name__}; -vv shows where", err=True)
        if "-vv" in arguments:
            traceback.print_exc(file=sys.stderr)
        return BUG
    return result if isinstance(result, int) else 0
