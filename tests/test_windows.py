"""On a system without POSIX modules, which is Windows, one line says so instead of a failing import."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_POSIX = "import sys\nfor name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
REFUSED = "segcli runs on Linux and macOS only; on Windows, install it in WSL (Windows Subsystem for Linux)"


def on_windows(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_POSIX + program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments", [["predict", "in", "-m", "unet3p", "-o", "out"], ["models", "list"], ["doctor"], ["--help"], []]
)
def test_the_command_says_so(arguments: list[str]) -> None:
    done = on_windows("from segcli.__main__ import main\nmain()", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"segcli: {REFUSED}\n")


@pytest.mark.parametrize("name", ["predict", "segment", "load_model"])
def test_python_says_so_and_lets_it_be_caught(name: str) -> None:
    program = f"import segcli\ntry: segcli.{name}\nexcept segcli.errors.UsageError as error: print(error)"
    assert on_windows(program).stdout == f"{REFUSED}\n"
