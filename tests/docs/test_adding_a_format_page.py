"""The format of docs/adding-a-format.md is one: it passes every check, and a folder with it is answered in kind."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from segcli.formats.atomic import Target, write_mask
from segcli.formats.interface import Format
from segcli.formats.readers import Readers
from segcli.formats.table import FORMATS, load_format

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))
import conformance

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-format.md").read_text(encoding="utf-8")
PLACE = "pgm:FORMAT"
PIXELS = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 130


@pytest.fixture
def pgm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Format:
    (text,) = re.findall(r"<!-- file: pgm.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "pgm.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "module")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "module"))  # of the reader process
    monkeypatch.delitem(sys.modules, "pgm", raising=False)
    importlib.invalidate_caches()
    return load_format("pgm", {"pgm": PLACE})


@pytest.fixture(params=[np.uint8, np.uint16])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A picture that Pillow wrote."""
    (tmp_path / "in").mkdir()
    Pillow.fromarray(PIXELS.astype(request.param)).save(tmp_path / "in" / "a.pgm", format="PPM")
    return tmp_path / "in"


def test_the_example_passes_every_check(pgm: Format, folder: Path, tmp_path: Path) -> None:
    conformance.check_recognition(pgm, folder, [pgm, *(load_format(name) for name in FORMATS)])
    conformance.check_lightness(PLACE)
    conformance.check_case(pgm, folder)
    conformance.check_masks(pgm, folder, tmp_path / "whole")
    conformance.check_bands(pgm, folder, tmp_path / "bands")
    conformance.check_limits(pgm, folder)
    conformance.check_damage(pgm, folder)


def test_the_example_goes_through_a_reader_process(pgm: Format, folder: Path, tmp_path: Path) -> None:
    formats = {"pgm": PLACE}
    case, _ = conformance.read(pgm, folder)
    with Readers(1, formats=formats) as readers:
        (part,) = readers.submit_read(case, conformance.GREY, 60).result(60).parts
        with Pillow.open(folder / "a.pgm") as picture:
            assert np.array_equal(part.read(0, 0, 20)[0], np.asarray(picture))
        mask = conformance.mask_of(part)
        target = Target(tmp_path / "out" / case.output, tmp_path / "out")
        write_mask(target, case, [mask], conformance.REQUEST, formats)
        (labels,) = readers.read_labels("pgm", target.path)
    assert np.array_equal(labels.pixels, mask.pixels)
    with Pillow.open(target.path) as picture:
        assert np.array_equal(np.asarray(picture), mask.pixels[0])


def test_what_the_page_names_is_there() -> None:
    root = Path(__file__).parents[2]
    for name in set(re.findall(r"`((?:segcli|tests)/[\w./]+)`", PAGE)):
        assert (root / name).exists(), name
    assert '"pgm": "segcli.formats.pgm:FORMAT",' in PAGE
