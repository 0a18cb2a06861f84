"""The kit as a whole: a good toy passes, and every check has a bad one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from toys import MixesBatch, ToyPlugin, subject

from segcli.testing import CHECKS, assert_conforms, check_subject, cost


def test_a_good_toy_passes_every_check() -> None:
    unusual = {item.check: item.status for item in check_subject(subject(), "toy").findings if item.status != "passed"}
    assert unusual == {"light listing": "skipped", "GPU": "skipped" if cost.accelerator() is None else "passed"}


def test_no_check_is_unproven() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_bad_*.py")]
    tested = [name.replace("_", " ") for text in texts for name in re.findall(r"^def test_(\w+)", text, re.MULTILINE)]
    for check in CHECKS:
        assert any(name.startswith(check.lower()) for name in tested), f"no bad toy for {check!r}"


def test_assert_conforms_lists_what_failed() -> None:
    assert_conforms(ToyPlugin())
    with pytest.raises(AssertionError, match=r"failed +batch: a batch of 2"):
        assert_conforms(ToyPlugin(MixesBatch))


def test_the_kit_needs_no_pytest() -> None:
    code = "import sys, segcli.testing; sys.exit('pytest' in sys.modules or 'click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
