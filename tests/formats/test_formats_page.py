"""docs/formats.md says what the code does."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

from segcli.engine import prepare
from segcli.formats.interface import HOLD_PIXELS
from segcli.formats.limits import BYTES_OF_A_SLICE, FREE_SLICES, MAX_CHANNELS, PIXELS_OF_A_SLICE
from segcli.formats.pixels import REC_601
from segcli.formats.table import FORMATS
from segcli.formats.tiff import bands, rows, samples
from segcli.settings import PredictSettings

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs" / "formats.md").read_text(encoding="utf-8").replace("\\*", "*").split())


def test_every_format_has_a_row() -> None:
    rows = re.findall(r"\| (PNG|JPEG|TIFF|NIfTI|NRRD|MHA)(?:, MHD)? \|", PAGE)
    assert {row.lower() for row in rows} == FORMATS.keys() - {"dicom"}


def test_what_is_refused_of_tiff_is_named() -> None:
    for words in (*samples._NAMES.values(), *samples._REFUSED.values()):
        assert words in PAGE, words


def test_the_exceptions_of_bands_are_those_of_the_code() -> None:
    messages = (bands._ONE_PIECE, bands._TURNED, bands._NOT_FINITE)
    reasons = {message.partition(":")[0] for message in messages}
    reasons |= set(re.findall(r'return "(its [^"]+)"', inspect.getsource(rows.cannot_be_banded)))
    assert len(reasons) == 6
    held = set(re.findall(r'"(an image (?:whose|that) [^"]+)"', inspect.getsource(prepare.prepare)))
    assert len(held) == 2
    for reason in reasons | held:
        assert re.search(rf"[|;] {re.escape(reason)}[ ;]", PAGE), reason


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"{HOLD_PIXELS:,} pixels" in PAGE
    assert f"`--max-pixels` ({PredictSettings().max_pixels:,})" in PAGE
    assert f"more than {FREE_SLICES:,} slices" in PAGE
    assert f"more than {MAX_CHANNELS:,} numbers" in PAGE
    assert f"less than {BYTES_OF_A_SLICE} bytes" in PAGE
    assert f"`--max-pixels` to {PIXELS_OF_A_SLICE:,} times" in PAGE
    assert " + ".join(f"{weight:.3f} {color}" for weight, color in zip(REC_601, "RGB", strict=True)) in PAGE


def test_the_commands_exist() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "bands.py"), "--help"], capture_output=True, text=True, check=True
    )
    (command,) = re.findall(r"python benchmarks/bands\.py([-a-z ]*)`", PAGE)
    assert all(option in done.stdout for option in command.split())
