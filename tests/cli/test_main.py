"""The table of commands, from which the help is made without importing one."""

import inspect

import click
import pytest

from segcli.cli.main import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert inspect.cleandoc(command.help or "").splitlines()[0] == COMMANDS[name]
