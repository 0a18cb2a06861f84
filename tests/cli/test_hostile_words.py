"""Words of a model, a file or another program on their way to terminal, log, CSV and HTML: shown, never obeyed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.cli.main import run
from segcli.cli.terminal import printable

LABEL = "[/foo]x\x1b[31mred\nforged | png | done\u202e:smile:\x9b2J"
SHOWN = r"[/foo]x\x1b[31mred\nforged | png | done\u202e:smile:\x9b2J"
FILE = "\x1b]0;title\x07[bold]:boom:\ngnp\u2066.png"


@pytest.fixture(scope="module")
def output(threshold_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of a model and a picture that are called terrible things."""
    folder = tmp_path_factory.mktemp("hostile")
    card = folder / "model" / "config.json"
    shutil.copytree(threshold_model, card.parent)
    content = json.loads(card.read_text())
    content["labels"][0]["name"] = LABEL
    card.write_text(json.dumps(content))
    (folder / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 36), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "in" / "plain.png")
    (folder / "in/plain.png").rename(folder / "in" / FILE)
    (folder / "in" / "\x1b[2Jnotes.txt").write_text("text")
    command = ["predict", str(folder / "in"), "-m", str(card.parent), "-o", str(folder / "out"), "--device", "cpu"]
    if run([*command, "-v"]) != 0:
        pytest.skip("a card may no longer call a label so")
    return folder / "out"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_console_shows_markup_and_escapes_as_what_they_are(
    output: Path, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["report", str(output), "--log-paths", "-vv"]) == 0
    told = capsys.readouterr().out
    assert SHOWN in told and printable(FILE) in told and r"\x1b[2Jnotes.txt" in told
    assert "\nforged" not in told and "\x1b[31m" not in told and "\x1b]0" not in told
    assert not any(letter in told for letter in "\u202e\u2066\x9b\x07😄💥")


def test_an_error_quotes_a_file_name_without_obeying_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[2Jno\nsegcli: all is well"
    assert run(["predict", str(tmp_path / name), "-m", "unet3p", "-o", str(tmp_path / "out")]) == 2
    assert run(["report", str(tmp_path / name)]) == 2
    assert run(["predict", "x", "-m", "unet3p", "--gate", name]) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\nsegcli: all is well" not in told
    assert told.count(r"\x1b[2Jno\nsegcli: all is well") == 3


def test_inspect_shows_names_escaped_and_gives_programs_the_names_themselves(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(output.parent / "in")
    assert run(["inspect", images, "--log-paths"]) == 0
    told = capsys.readouterr().out
    assert printable(FILE) in told and not any(letter in told for letter in "\x1b\u2066\x07")
    assert run(["inspect", images, "--log-paths", "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told)["cases"][0]["name"] == FILE and json.loads(told)["cases"][0]["mask"] == FILE
    assert not any(letter in told for letter in "\x1b\u2066\x07")


def test_nothing_of_it_is_raw_in_csv_and_html(output: Path) -> None:
    page = (output / "report.html").read_text(encoding="utf-8")
    for text in (page, (output / "volumes.csv").read_text(encoding="utf-8-sig")):
        assert not any(letter in text for letter in "\x1b\u202e\u2066\x9b\x07")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x7f\x85\u2028\ufeff\u200b", r"\x7f\x85\u2028\ufeff\u200b"),
        ("\udcff", r"\udcff"),
        ("Łódź 한국 👋 é", "Łódź 한국 👋 é"),
        (None, ""),
        (Path("a\nb"), r"a\nb"),
    ],
)
def test_printable(text: object, shown: str) -> None:
    assert printable(text) == shown
