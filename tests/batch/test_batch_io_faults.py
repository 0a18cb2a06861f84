"""Every call that touches the disk fails once: no half a file is ever seen, and the next run ends as if nothing was."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import nibabel
import numpy as np
import pytest
from io_faults import Faults
from PIL import Image

from segcli.reporting.content import load_schema

Predict = Callable[..., int]


@pytest.fixture
def two_kinds(pictures: Path) -> Path:
    """b.png goes through Python's files, v.nii.gz through a library's."""
    for name in ("a.png", "sub/c.png"):
        (pictures / name).unlink()
    (pictures / "b.png").unlink()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(pictures / "sub/b.png")
    volume = np.random.default_rng(5).integers(0, 200, (20, 24, 1), dtype=np.int16)
    nibabel.Nifti1Image(volume, np.diag([1, 1, 1, 1])).to_filename(pictures / "v.nii.gz")
    return pictures


def masks(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.suffix in (".png", ".gz") and not path.name.startswith(".")
    }


def temporaries(output: Path) -> list[str]:
    return [path.name for path in output.rglob(".segcli*") if path.name != ".segcli-key"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_reader")
def test_every_call_may_fail(
    predict: Predict, two_kinds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counting = Faults(tmp_path / "reference")
    with counting.active():
        assert predict("--batch", "1", output=tmp_path / "reference") == 0
    reference = masks(tmp_path / "reference")
    assert set(reference) == {"sub/b.png", "v.nii.gz"}
    assert {"open", "write", "fsync", "replace", "mkdir", "link", "unlink"} <= set(counting.calls)

    for number in range(len(counting.calls)):
        output = tmp_path / f"out{number}"
        error = (errno.ENOSPC, errno.EIO)[number % 2]
        faults = Faults(output, number, error)
        capsys.readouterr()
        with faults.active():
            code = predict("--batch", "1", output=output)
        told = f"call {number} ({faults.failed}) left with {code}: {capsys.readouterr().err}"
        assert code in (0, 1, 2, 70), told
        assert "a bug" not in told
        if error == errno.ENOSPC and faults.failed in ("open", "write", "fsync"):
            assert code == 70, told
        seen = masks(output) if output.exists() else {}
        assert all(reference[name] == data for name, data in seen.items()), told
        assert predict("--batch", "1", output=output) == 0, told
        assert masks(output) == reference, told
        assert temporaries(output) == [], told
        jsonschema.validate(json.loads((output / "report.json").read_text()), load_schema())
