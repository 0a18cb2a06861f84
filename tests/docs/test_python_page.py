"""docs/python.md: its examples run in the order in which they stand, and it names all that is public."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import segcli

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run_as_printed(
    threshold_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(threshold_model, "my-model")
    Path("scans").mkdir()
    voxels = np.random.default_rng(1).random((64, 60, 6)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.diag([-0.8, -0.9, 2.5, 1.0])), "scans/a.nii.gz")
    names = {"segcli": segcli}
    monkeypatch.setattr(logging.getLogger("segcli"), "level", logging.NOTSET)  # an example changes it
    for example in EXAMPLES:
        exec(compile(example, "docs/python.md", "exec"), names)  # noqa: S102 - that is the test
    shown = capsys.readouterr().out
    assert shown.startswith("done a.nii.gz a.nii.gz {'")
    assert "an array of shape (3, 64, 64) may be slices or colours: say which with axes=" in shown
    of_file, of_image = nib.load("masks/a.nii.gz"), nib.load("a_mask.nii.gz")
    assert np.array_equal(np.asarray(of_file.dataobj), np.asarray(of_image.dataobj))


def test_every_public_name_is_told() -> None:
    for name in set(segcli.__all__) - {"LoadedModel", "Report", "Outcome"}:
        assert f"segcli.{name}" in PAGE, name
