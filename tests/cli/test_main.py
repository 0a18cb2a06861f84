"""The table of commands, from which the help is made without importing one; and what is told of a bug."""

import inspect

import click
import pytest

from segcli.cli.main import COMMANDS, cli, run


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert inspect.cleandoc(command.help or "").splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ([], [], False),
        ([], ["-v"], False),
        ([], ["-vv"], True),
        ([], ["-v", "-v"], True),
        ([], ["-vqv"], True),
        ([], ["--verbose", "-v"], True),
        (["-vv"], [], True),
    ],
)
def test_two_v_show_where_a_bug_is(
    before: list[str],
    after: list[str],
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("segcli.batch.plan.check_folders", broken)
    assert run([*before, "predict", "in", "-m", "unet", "-o", "out", *after]) == 70
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert ("in broken" in told) is shown


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (ImportError("libtorch_cpu.so: failed to map segment\x1b[2J"), 2, r"map segment\x1b[2J): too little memory"),
        (MemoryError(), 70, "out of memory"),
    ],
)
def test_a_machine_too_small_is_told_in_one_line(
    error: Exception, code: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("segcli.batch.plan.check_folders", broken)
    assert run(["predict", "in", "-m", "unet", "-o", "out"]) == code
    told = capsys.readouterr().err
    assert word in told and "Traceback" not in told and "a bug" not in told and told.count("\n") == 1
