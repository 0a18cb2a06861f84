"""docs/dicom.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segcli.formats.dicom import kinds
from segcli.formats.dicom.carried import EMPTY_IF_ABSENT

PAGE = (Path(__file__).parents[3] / "docs" / "dicom.md").read_text(encoding="utf-8")


def test_the_table_of_transfer_syntaxes_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(1\.2\.840[\d.]*)` \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert rows == [(uid, name.replace("|", "/"), decoder) for uid, name, decoder in kinds.decoders()]


@pytest.mark.parametrize(
    ("syntax", "video"),
    [("1.2.840.10008.1.2.4.102", True), ("1.2.840.10008.1.2.4.94", False), ("1.2.840.113619.5.2", False)],
)
def test_other_syntaxes_are_refused(syntax: str, video: bool) -> None:
    assert syntax not in kinds.DECODABLE and kinds.is_video(syntax) is video


def test_the_elements_taken_over_are_named() -> None:
    assert all(f"`{keyword}`" in PAGE for keyword in EMPTY_IF_ABSENT)
